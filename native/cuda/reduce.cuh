// Sums and maxima over a warp or a block, in an order that depends on the block's size alone: the same bits on every
// run.
#pragma once
#include "cuda/gpu.h"

namespace noisewright::gpu {

struct Sum {
  template <class T>
  __device__ static T join(T a, T b) {
    return a + b;
  }
  __device__ static float nothing() { return 0.0f; }
};
struct Max {
  template <class T>
  __device__ static T join(T a, T b) {
    return a > b ? a : b;
  }
  __device__ static float nothing() { return -__uint_as_float(0x7F800000u); }
};

// Every lane receives the result. All 32 lanes call it.
template <class Op, class T>
__device__ inline T reduce_warp(T x) {
  for (unsigned distance = kWarpSize / 2; distance > 0; distance /= 2)
    x = Op::join(x, __shfl_xor_sync(kFullWarp, x, static_cast<int>(distance)));
  return x;
}

// Every thread receives the result. All threads of the block call it; blockDim.x is a multiple of 32. part: 32 numbers
// in shared memory, which may be used again after the call.
template <class Op, class T>
__device__ inline T reduce_block(T x, T* part) {
  const unsigned lane = threadIdx.x % kWarpSize, warp = threadIdx.x / kWarpSize, warps = blockDim.x / kWarpSize;
  x = reduce_warp<Op>(x);
  if (lane == 0) part[warp] = x;
  __syncthreads();
  x = reduce_warp<Op>(lane < warps ? part[lane] : static_cast<T>(Op::nothing()));
  __syncthreads();
  return x;
}

}  // namespace noisewright::gpu

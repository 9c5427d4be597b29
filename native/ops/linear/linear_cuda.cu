// The gradient before an activation. Bound by reading dy and pre and writing one tensor like them (arithmetic, not
// measured on a GPU). Everything else of a linear layer is products of ops/matmul/gemm_cuda.h.
#include "ops/linear/linear_cuda.h"

#include "cuda/elementwise.cuh"
#include "ops/matmul/activation.cuh"

namespace noisewright::cuda {

namespace {

template <class T>
__device__ inline void through_activation(const SlopeParams& p) {
  const int64_t first = (int64_t{blockIdx.x} * kSlopeThreads + threadIdx.x) * kSlopePerThread;
  const int64_t left = p.count - first;
  if (left <= 0) return;
  gpu::Eight x = gpu::load_eight(static_cast<const T*>(p.dy) + first, p.wide, left);
  const gpu::Eight at = gpu::load_eight(static_cast<const T*>(p.pre) + first, p.wide, left);
  for (int i = 0; i < 8; i++) x.v[i] = x.v[i] * activation_slope(p.activation, at.v[i]);
  gpu::store_eight(static_cast<T*>(p.to) + first, x, p.wide, left);
}

}  // namespace

#define SLOPE_KERNEL(type, T)                                    \
  extern "C" __global__ void __launch_bounds__(kSlopeThreads)    \
      linear_through_activation_##type##_kernel(SlopeParams p) { \
    through_activation<T>(p);                                    \
  }                                                              \
  KERNEL(linear_through_activation_##type##_kernel)

SLOPE_KERNEL(f32, float);
SLOPE_KERNEL(bf16, bfloat16);
SLOPE_KERNEL(f16, float16);

}  // namespace noisewright::cuda

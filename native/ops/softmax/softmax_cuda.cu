// A thread block takes a row, which after the first of its passes comes from the caches. Sums are float32: each
// thread's own, then a tree over the block.
#include "cuda/elementwise.cuh"
#include "cuda/reduce.cuh"
#include "ops/softmax/softmax.h"

namespace noisewright::cuda {

namespace {

template <class T>
__device__ inline void softmax_forward(const SoftmaxForwardParams& p, bool wide) {
  SHARED(float, part, [gpu::kWarpSize]);
  const int64_t row = blockIdx.x * p.columns, step = int64_t{blockDim.x} * 8;
  const T* x = static_cast<const T*>(p.x) + row;
  float largest = gpu::Max::nothing(), sum = 0.0f;
  for (int64_t i = threadIdx.x * 8; i < p.columns; i += step) {
    const gpu::Eight v = gpu::load_eight(x + i, wide, p.columns - i);
    for (int k = 0; k < 8 && i + k < p.columns; k++) largest = gpu::Max::join(largest, v.v[k]);
  }
  const float shift = gpu::reduce_block<gpu::Max>(largest, part);
  for (int64_t i = threadIdx.x * 8; i < p.columns; i += step) {
    const gpu::Eight v = gpu::load_eight(x + i, wide, p.columns - i);
    for (int k = 0; k < 8 && i + k < p.columns; k++) sum += expf(v.v[k] - shift);
  }
  const float factor = 1.0f / gpu::reduce_block<gpu::Sum>(sum, part);
  for (int64_t i = threadIdx.x * 8; i < p.columns; i += step) {
    gpu::Eight v = gpu::load_eight(x + i, wide, p.columns - i);
    for (float& value : v.v) value = expf(value - shift) * factor;
    gpu::store_eight(static_cast<T*>(p.y) + row + i, v, wide, p.columns - i);
  }
}

template <class T>
__device__ inline void softmax_backward(const SoftmaxBackwardParams& p, bool wide) {
  SHARED(float, part, [gpu::kWarpSize]);
  const int64_t row = blockIdx.x * p.columns, step = int64_t{blockDim.x} * 8;
  const T *dy = static_cast<const T*>(p.dy) + row, *y = static_cast<const T*>(p.y) + row;
  float sum = 0.0f;
  for (int64_t i = threadIdx.x * 8; i < p.columns; i += step) {
    const gpu::Eight g = gpu::load_eight(dy + i, wide, p.columns - i), v = gpu::load_eight(y + i, wide, p.columns - i);
    for (int k = 0; k < 8; k++) sum = fmaf(g.v[k], v.v[k], sum);
  }
  const float dot = gpu::reduce_block<gpu::Sum>(sum, part);
  for (int64_t i = threadIdx.x * 8; i < p.columns; i += step) {
    gpu::Eight g = gpu::load_eight(dy + i, wide, p.columns - i);
    const gpu::Eight v = gpu::load_eight(y + i, wide, p.columns - i);
    for (int k = 0; k < 8; k++) g.v[k] = v.v[k] * (g.v[k] - dot);
    gpu::store_eight(static_cast<T*>(p.dx) + row + i, g, wide, p.columns - i);
  }
}

}  // namespace

FLOAT_KERNELS(softmax_forward, SoftmaxForwardParams);
FLOAT_KERNELS(softmax_backward, SoftmaxBackwardParams);

}  // namespace noisewright::cuda

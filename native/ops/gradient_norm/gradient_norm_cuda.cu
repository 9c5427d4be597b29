// Memory bound. A thread block takes a chunk of 4096 elements: float32 within the 16 of a thread, float64 beyond them.
// A single block adds the chunks up.
#include "ops/gradient_norm/gradient_norm_cuda.h"

#include "cuda/elementwise.cuh"
#include "cuda/entries.cuh"
#include "cuda/reduce.cuh"

namespace noisewright::cuda {

namespace {

// sums [chunk_count].
__device__ inline void sum_squares(const GradientNormParams& p, double* sums) {
  SHARED(double, part, [gpu::kWarpSize]);
  const GradientNormEntry& e = gpu::entry_of(p, blockIdx.x);
  const bool wide = reinterpret_cast<uintptr_t>(e.x) % 16 == 0;
  const int64_t start = (blockIdx.x - e.first_task) * kGradientNormChunk;
  const int64_t end = start + kGradientNormChunk < e.count ? start + kGradientNormChunk : e.count;
  float sum = 0.0f;
  for (int64_t i = start + threadIdx.x * 8; i < end; i += kGradientNormThreads * 8) {
    const gpu::Eight x = gpu::load_eight(e.x + i, wide, end - i);
    for (int k = 0; k < 8; k++) sum = fmaf(x.v[k], x.v[k], sum);
  }
  const double total = gpu::reduce_block<gpu::Sum>(static_cast<double>(sum), part);
  if (threadIdx.x == 0) sums[blockIdx.x] = total;
}

__device__ inline void join_squares(const GradientNormParams& p, const double* sums) {
  SHARED(double, part, [gpu::kWarpSize]);
  double sum = 0.0;
  for (int64_t chunk = threadIdx.x; chunk < p.chunk_count; chunk += kGradientNormJoinThreads) sum += sums[chunk];
  const double total = gpu::reduce_block<gpu::Sum>(sum, part);
  if (threadIdx.x != 0) return;
  const double norm = sqrt(total) / p.multiple, coefficient = p.max_norm / (norm + 1e-6);
  p.y[0] = static_cast<float>(norm);
  p.y[1] = static_cast<float>((coefficient < 1.0 ? coefficient : 1.0) / p.multiple);
}

}  // namespace

extern "C" __global__ void __launch_bounds__(kGradientNormThreads)
    gradient_norm_partial_kernel(GradientNormParams p, double* sums) {
  sum_squares(p, sums);
}
KERNEL(gradient_norm_partial_kernel);
extern "C" __global__ void __launch_bounds__(kGradientNormJoinThreads)
    gradient_norm_join_kernel(GradientNormParams p, const double* sums) {
  join_squares(p, sums);
}
KERNEL(gradient_norm_join_kernel);

}  // namespace noisewright::cuda

// A thread computes the cosine and the sine of one angle in float64, because angles reach 999 radians.
#include "cuda/elementwise.cuh"
#include "ops/timestep_embedding/timestep_embedding.h"

namespace noisewright::cuda {

namespace {

// rate = -log(max_period) / half.
__device__ inline void embed_timestep(const TimestepEmbeddingParams& p, double rate) {
  const gpu::Division at = gpu::divide(int64_t{blockIdx.x} * kElementThreads + threadIdx.x, p.half);
  if (at.quotient >= p.count) return;
  const double t = p.dtype == DType::kInt32 ? static_cast<double>(static_cast<const int32_t*>(p.timesteps)[at.quotient])
                                            : static_cast<double>(static_cast<const float*>(p.timesteps)[at.quotient]);
  const double angle = t * exp(rate * static_cast<double>(at.remainder));
  float* y = p.y + at.quotient * 2 * p.half + at.remainder;
  y[0] = static_cast<float>(cos(angle));
  y[p.half] = static_cast<float>(sin(angle));
}

}  // namespace

extern "C" __global__ void __launch_bounds__(kElementThreads)
    timestep_embedding_kernel(TimestepEmbeddingParams p, double rate) {
  embed_timestep(p, rate);
}
KERNEL(timestep_embedding_kernel);

}  // namespace noisewright::cuda

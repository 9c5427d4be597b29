// Latents are small, so a thread computes a single element.
#include "cuda/elementwise.cuh"
#include "ops/posterior_sample/posterior_sample.h"

namespace noisewright::cuda {

namespace {

template <class T>
__device__ inline void posterior_sample(const PosteriorSampleParams& p, bool) {
  const int64_t i = int64_t{blockIdx.x} * kElementThreads + threadIdx.x;
  const gpu::Division at = gpu::divide(i, p.channels);
  if (at.quotient >= p.rows) return;
  const T* moments = static_cast<const T*>(p.moments) + at.quotient * 2 * p.channels + at.remainder;
  const float logvar = gpu::load(moments + p.channels), low = logvar > -30.0f ? logvar : -30.0f;
  const float deviation = expf(0.5f * (low < 20.0f ? low : 20.0f));
  p.z[i] = fmaf(deviation, p.noise[i], gpu::load(moments));
}

}  // namespace

FLOAT_KERNELS(posterior_sample, PosteriorSampleParams);

}  // namespace noisewright::cuda

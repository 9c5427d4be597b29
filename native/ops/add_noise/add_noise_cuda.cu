// Memory bound; the shares of signal and noise are computed in float64 by every thread, as on the CPU.
#include "cuda/elementwise.cuh"
#include "ops/add_noise/add_noise.h"

namespace noisewright::cuda {

namespace {

struct Shares {
  float of_latents, of_noise;
};

// NaN for a timestep that the table does not have: the host does not wait to look at it.
__device__ inline Shares shares_of(const AddNoiseParams& p, int64_t sample) {
  const int32_t timestep = p.timesteps[sample];
  const bool known = timestep >= 0 && timestep < p.steps;
  const double abar = known ? static_cast<double>(p.alphas_cumprod[timestep]) : -1.0;
  const auto signal = static_cast<float>(sqrt(abar));
  const float remainder = known ? static_cast<float>(sqrt(1.0 - abar)) : signal;
  return p.velocity ? Shares{-remainder, signal} : Shares{signal, remainder};
}

// The blocks of a sample follow each other.
template <class T, class U>
__device__ inline void add_noise(const AddNoiseParams& p, bool wide) {
  const int64_t blocks = (p.size + kElementsPerBlock - 1) / kElementsPerBlock;
  const gpu::Division at = gpu::divide(blockIdx.x, blocks);
  const int64_t in_sample = gpu::first_element(at.remainder), left = p.size - in_sample;
  if (left <= 0) return;
  const Shares shares = shares_of(p, at.quotient);
  const int64_t i = at.quotient * p.size + in_sample;
  gpu::Eight x = gpu::load_eight(static_cast<const T*>(p.latents) + i, wide, left);
  const gpu::Eight noise = gpu::load_eight(static_cast<const U*>(p.noise) + i, wide, left);
  for (int k = 0; k < 8; k++) x.v[k] = fmaf(shares.of_latents, x.v[k], shares.of_noise * noise.v[k]);
  gpu::store_eight(static_cast<T*>(p.y) + i, x, wide, left);
}

}  // namespace

FLOAT_PAIR_KERNELS(add_noise, AddNoiseParams);

}  // namespace noisewright::cuda

// The forward process of diffusion and its velocity target, with the signal share abar = alphas_cumprod[timestep] of
// each sample:
//   add_noise: sqrt(abar) latents + sqrt(1 - abar) noise        velocity: sqrt(abar) noise - sqrt(1 - abar) latents
#pragma once
#include "core/cpu_target.h"
#include "core/dtype.h"

namespace noisewright {

struct AddNoiseParams {
  const void* latents;          // [samples, size]
  const void* noise;            // [samples, size]
  const int32_t* timesteps;     // [samples]
  const float* alphas_cumprod;  // [steps]
  void* y;                      // like latents
  int64_t samples;
  int64_t size;
  int64_t steps;
  bool velocity;
  DType dtype;  // of latents and y
  DType noise_dtype;
};

CPU_KERNEL(add_noise_forward, AddNoiseParams)
namespace cuda {
void add_noise_forward(const AddNoiseParams&);
}

}  // namespace noisewright

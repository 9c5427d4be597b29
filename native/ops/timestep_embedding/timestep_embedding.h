// The sinusoidal position code of a diffusion time: [cos(t f_i), sin(t f_i)], f_i = period^(-i / half), i = 0..half-1.
#pragma once
#include "core/cpu_target.h"
#include "core/dtype.h"

namespace noisewright {

struct TimestepEmbeddingParams {
  const void* timesteps;  // [count], float32 or int32
  float* y;               // [count, 2 half]
  int64_t count;
  int64_t half;
  double max_period;
  DType dtype;  // of timesteps
};

CPU_KERNEL(timestep_embedding_forward, TimestepEmbeddingParams)
namespace cuda {
void timestep_embedding_forward(const TimestepEmbeddingParams&);
}

}  // namespace noisewright

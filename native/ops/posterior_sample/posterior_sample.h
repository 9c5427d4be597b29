// z = mean + exp(logvar / 2) * noise, the VAE's posterior; moments are [mean ; logvar] on the last axis, logvar clamped
// to [-30, 20].
#pragma once
#include "core/cpu_target.h"
#include "core/dtype.h"

namespace noisewright {

struct PosteriorSampleParams {
  const void* moments;  // [rows, 2c]
  const float* noise;   // [rows, c]
  float* z;             // [rows, c]
  int64_t rows, channels;
  DType dtype;  // of moments
};

CPU_KERNEL(posterior_sample_forward, PosteriorSampleParams)
namespace cuda {
void posterior_sample_forward(const PosteriorSampleParams&);
}

}  // namespace noisewright

// Noise with a random mean for each sample and channel: y[n,h,w,c] = noise[n,h,w,c] + s[n,c] z[n,c], z standard normal.
// s is `offset`, or max(0, offset + adaptive_scale |mean over h, w of latents|).
#pragma once
#include "core/cpu_target.h"
#include "core/dtype.h"
#include "core/philox.h"

namespace noisewright {

struct OffsetNoiseParams {
  const void* noise;    // [samples, pixels, channels]
  const void* latents;  // like noise; null when adaptive_scale is 0
  void* y;              // like noise
  int64_t samples;
  int64_t pixels;
  int64_t channels;
  float offset;
  float adaptive_scale;
  PhiloxStream stream;  // z[n,c] is element n channels + c of the normals of this stream
  DType dtype;          // of noise and y
  DType latents_dtype;
};

CPU_KERNEL(offset_noise_forward, OffsetNoiseParams)
namespace cuda {
void offset_noise_forward(const OffsetNoiseParams&);
}

}  // namespace noisewright

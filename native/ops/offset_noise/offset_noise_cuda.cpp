#include "core/parallel.h"
#include "cuda/elementwise.h"
#include "cuda/kernel_name.h"
#include "cuda/launch.h"
#include "ops/offset_noise/offset_noise.h"

namespace noisewright::cuda {

// Bytes moved: noise once, y once, latents once where the strength depends on them.
void offset_noise_forward(const OffsetNoiseParams& p) {
  const Scratch<float> shift(p.samples * p.channels);
  launch_kernel("offset_shift_kernel", {p.samples * p.channels}, {kElementThreads}, 0, p, shift.data);
  const std::string kernel = "offset_noise" + suffix("offsetNoise", p.dtype) + "_kernel";
  launch_kernel(kernel.c_str(), {blocks_for(p.samples * p.pixels * p.channels, kElementsPerBlock)}, {kElementThreads},
                0, p, static_cast<const float*>(shift.data), aligned_for_eight({p.noise, p.y}));
}

}  // namespace noisewright::cuda

#include "cuda/elementwise.h"
#include "cuda/kernel_name.h"
#include "cuda/launch.h"
#include "ops/add_noise/add_noise.h"

namespace noisewright::cuda {

// Bytes moved: latents and noise once, y once.
void add_noise_forward(const AddNoiseParams& p) {
  const std::string kernel = "add_noise" + suffix("addNoise", p.dtype) + suffix("addNoise", p.noise_dtype) + "_kernel";
  const bool wide = p.size % kElementsPerThread == 0 && aligned_for_eight({p.latents, p.noise, p.y});
  launch_kernel(kernel.c_str(), {p.samples * blocks_for(p.size, kElementsPerBlock)}, {kElementThreads}, 0, p, wide);
}

}  // namespace noisewright::cuda

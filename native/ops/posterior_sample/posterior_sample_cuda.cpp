#include "cuda/elementwise.h"
#include "cuda/kernel_name.h"
#include "cuda/launch.h"
#include "ops/posterior_sample/posterior_sample.h"

namespace noisewright::cuda {

// Bytes moved: moments and noise once, z once.
void posterior_sample_forward(const PosteriorSampleParams& p) {
  const std::string kernel = "posterior_sample" + suffix("posteriorSample", p.dtype) + "_kernel";
  launch_kernel(kernel.c_str(), {blocks_for(p.rows * p.channels, kElementThreads)}, {kElementThreads}, 0, p, false);
}

}  // namespace noisewright::cuda

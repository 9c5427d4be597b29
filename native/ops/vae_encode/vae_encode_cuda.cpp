#include "cuda/elementwise.h"
#include "cuda/kernel_name.h"
#include "cuda/launch.h"
#include "ops/vae_encode/vae_encode.h"

namespace noisewright::cuda {

// Bytes moved: x once, y once, as many as it has to.
void vae_pixels(const VaePixelsParams& p) {
  launch_kernel(("vae_pixels" + suffix("vaeEncode", p.y_dtype) + "_kernel").c_str(),
                {blocks_for(p.count, kElementsPerBlock)}, {kElementThreads}, 0, p, aligned_for_eight({p.x, p.y}));
}

}  // namespace noisewright::cuda

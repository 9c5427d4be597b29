#include "cuda/elementwise.h"
#include "cuda/kernel_name.h"
#include "cuda/launch.h"
#include "ops/scale/scale.h"

namespace noisewright::cuda {

// Bytes moved: x once, y once.
void scale_forward(const ScaleParams& p) {
  const std::string kernel = "scale" + suffix("scale", p.dtype) + "_kernel";
  launch_kernel(kernel.c_str(), {blocks_for(p.count, kElementsPerBlock)}, {kElementThreads}, 0, p,
                aligned_for_eight({p.x, p.y}));
}

}  // namespace noisewright::cuda

#include "cuda/elementwise.h"
#include "cuda/kernel_name.h"
#include "cuda/launch.h"
#include "ops/dropout/dropout.h"

namespace noisewright::cuda {

// Bytes moved: x once, y once.
void dropout_forward(const DropoutParams& p) {
  const std::string kernel = "dropout" + suffix("dropout", p.dtype) + "_kernel";
  launch_kernel(kernel.c_str(), {blocks_for(p.count, kElementsPerBlock)}, {kElementThreads}, 0, p,
                aligned_for_eight({p.x, p.y}));
}

}  // namespace noisewright::cuda

#include "cuda/elementwise.h"
#include "cuda/kernel_name.h"
#include "cuda/launch.h"
#include "ops/cast/cast.h"

namespace noisewright::cuda {

// Bytes moved: x once, y once.
void cast_forward(const CastParams& p) {
  const std::string kernel = std::string("cast_to_") + name_of(p.to) + "_kernel";
  launch_kernel(kernel.c_str(), {blocks_for(p.count, kElementsPerBlock)}, {kElementThreads}, 0, p,
                aligned_for_eight({p.x, p.y}));
}

}  // namespace noisewright::cuda

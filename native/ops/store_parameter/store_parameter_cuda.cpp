#include "cuda/elementwise.h"
#include "cuda/kernel_name.h"
#include "cuda/launch.h"
#include "ops/store_parameter/store_parameter.h"

namespace noisewright::cuda {

// Bytes moved: x once, y once.
void store_parameter(const StoreParameterParams& p) {
  const bool flat = p.taps == 1;
  const std::string kernel = std::string(flat ? "store_flat" : "store_taps") + suffix("storeParameter", p.from) +
                             suffix("storeParameter", p.to) + "_kernel";
  const int64_t per_block = flat ? kElementsPerBlock : kElementThreads;
  launch_kernel(kernel.c_str(), {blocks_for(p.rows * p.channels, per_block)}, {kElementThreads}, 0, p,
                aligned_for_eight({p.x, p.y}));
}

}  // namespace noisewright::cuda

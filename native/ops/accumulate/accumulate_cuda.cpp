#include "cuda/elementwise.h"
#include "cuda/kernel_name.h"
#include "cuda/launch.h"
#include "ops/accumulate/accumulate.h"
#include "ops/contiguous/contiguous.h"

namespace noisewright::cuda {

// Bytes moved: y written once, and read once but for copies; x once.
void accumulate_forward(const AccumulateParams& p) {
  if (p.op == InPlaceOp::kCopy && p.dtype == p.x_dtype)  // any type, integers too
    return copy_bytes(p.x, p.y, p.count * static_cast<int64_t>(item_size(p.dtype)));
  constexpr const char* op = "accumulate";
  const std::string kernel = p.op == InPlaceOp::kScale ? "scale_in_place" + suffix(op, p.dtype)
                                                       : "accumulate" + suffix(op, p.dtype) + suffix(op, p.x_dtype);
  launch_kernel((kernel + "_kernel").c_str(), {blocks_for(p.count, kElementsPerBlock)}, {kElementThreads}, 0, p,
                aligned_for_eight({p.x, p.y}));
}

}  // namespace noisewright::cuda

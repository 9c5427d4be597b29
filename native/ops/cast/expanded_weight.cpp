#include "ops/cast/expanded_weight.h"

#include "core/launch.h"
#include "core/parallel.h"
#include "ops/cast/cast.h"

namespace noisewright {

ExpandedWeight::ExpandedWeight(const Tensor& weight, DType dtype, bool read) {
  if (!read) return;
  data_ = weight.data();
  if (is_float(weight.dtype)) return;
  memory_ = scratch_take(static_cast<uint64_t>(weight.count()) * item_size(dtype));
  run_kernel<CastParams>("cast", {cpu::cast_forward, cuda::cast_forward},
                         {data_, memory_, weight.count(), weight.dtype, dtype});
  data_ = memory_;
}

ExpandedWeight::~ExpandedWeight() {
  if (memory_) scratch_give(memory_);
}

}  // namespace noisewright

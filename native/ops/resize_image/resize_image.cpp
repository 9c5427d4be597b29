#include "ops/resize_image/resize_image.h"

#include "core/launch.h"
#include "core/parallel.h"
#include "ops/ops.h"
#include "ops/resize_image/resize_plan.h"

namespace noisewright {

Tensor resize_image(const Tensor& image, int64_t height, int64_t width, const std::string& method) {
  CHECK("resizeImage", image.rank() == 3 && image.dtype == DType::kUint8 && image.contiguous(),
        "expected contiguous uint8 [h, w, c]");
  const int64_t channels = image.size(2);
  ResizePlan plan({image.size(0), image.size(1), channels, height, width, 0, 0, height, width, method});
  Tensor y = empty(image, {height, width, channels});
  launch("resizeImage", {image}, {y}, [=, plan = std::move(plan)]() mutable {
    Scratch<uint8_t> scratch(plan.scratch_bytes(thread_count()));
    run_kernel("resizeImage", {cpu::resize_image, cuda::resize_image},
               plan.params(image.data_as<uint8_t>(), y.data_as<uint8_t>(), scratch.data));
  });
  return y;
}

}  // namespace noisewright

#include "ops/shift_hue/shift_hue.h"

#include "core/launch.h"
#include "ops/ops.h"

namespace noisewright {

Tensor shift_hue(const Tensor& image, double shift) {
  CHECK("shiftHue", image.rank() == 3 && image.size(2) == 3 && image.dtype == DType::kUint8 && image.contiguous(),
        "expected contiguous uint8 [h, w, 3]");
  Tensor y = empty(image, {image.size(0), image.size(1), 3}, DType::kUint8);
  const ShiftHueParams shape{nullptr, nullptr, image.size(0) * image.size(1), shift};
  launch("shiftHue", {image}, {y}, [=, p = shape]() mutable {
    p.x = image.data_as<uint8_t>();
    p.y = y.data_as<uint8_t>();
    run_kernel("shiftHue", {cpu::shift_hue}, p);
  });
  return y;
}

}  // namespace noisewright

#include "ops/shift_hue/shift_hue.h"

#include <cmath>

#include "core/launch.h"
#include "ops/ops.h"

namespace noisewright {

namespace {

// shift: in units of two degrees
HueTables tables_of(double shift) {
  HueTables t{};
  for (int i = 1; i < 256; i++) {
    t.saturation[i] = static_cast<int32_t>(std::nearbyint((255 << kHueFractionBits) / (1.0 * i)));
    t.hue[i] = static_cast<int32_t>(std::nearbyint((kHues << kHueFractionBits) / (6.0 * i)));
  }
  for (int hue = 0; hue < kHues; hue++) {
    const double turned = std::fmod(hue + shift, static_cast<double>(kHues));
    t.turned[hue] = static_cast<uint8_t>(static_cast<int>(turned < 0 ? turned + kHues : turned) % kHues);
  }
  return t;
}

}  // namespace

Tensor shift_hue(const Tensor& image, double shift) {
  CHECK("shiftHue", image.rank() == 3 && image.size(2) == 3 && image.dtype == DType::kUint8 && image.contiguous(),
        "expected contiguous uint8 [h, w, 3]");
  Tensor y = empty(image, {image.size(0), image.size(1), 3}, DType::kUint8);
  const ShiftHueParams shape{nullptr, nullptr, image.size(0) * image.size(1), shift != 0, tables_of(shift)};
  launch("shiftHue", {image}, {y}, [=, p = shape]() mutable {
    p.x = image.data_as<uint8_t>();
    p.y = y.data_as<uint8_t>();
    run_kernel("shiftHue", {cpu::shift_hue, cuda::shift_hue}, p);
  });
  return y;
}

}  // namespace noisewright

// Colours of a picture turned around the axis of grey: uint8 [h, w, 3], in the arithmetic of OpenCV's 8-bit HSV.
#pragma once
#include <cstdint>

#include "core/cpu_target.h"

namespace noisewright {

constexpr int kHues = 180;
constexpr int kHueFractionBits = 12;

// Rounded quotients by every 8-bit value, so that dividing costs a multiplication, factor * 2^12 / i; and what becomes
// of each hue.
struct HueTables {
  int32_t saturation[256], hue[256];
  uint8_t turned[kHues];
};

struct ShiftHueParams {
  const uint8_t* x;
  uint8_t* y;
  int64_t pixels;
  bool turns;  // otherwise y = x
  HueTables tables;
};

CPU_KERNEL(shift_hue, ShiftHueParams)
namespace cuda {
void shift_hue(const ShiftHueParams&);
}

}  // namespace noisewright

// Colours of a picture turned around the axis of grey: uint8 [h, w, 3], in the arithmetic of OpenCV's 8-bit HSV.
#pragma once
#include <cstdint>

#include "core/cpu_target.h"

namespace noisewright {

struct ShiftHueParams {
  const uint8_t* x;
  uint8_t* y;
  int64_t pixels;
  double shift;  // in units of two degrees
};

CPU_KERNEL(shift_hue, ShiftHueParams)

}  // namespace noisewright

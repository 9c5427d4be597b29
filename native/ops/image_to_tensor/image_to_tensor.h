// A window of a picture as model input: uint8 [h, w, 3] to float32 [1, height, width, 3] in [-1, 1], mirrored on
// demand.
#pragma once
#include <cstdint>

#include "core/cpu_target.h"

namespace noisewright {

struct ImageToTensorParams {
  const uint8_t* x;
  float* y;
  int64_t in_width;
  int64_t left, top, width, height;
  bool flip;  // left and right change places inside the window
};

CPU_KERNEL(image_to_tensor, ImageToTensorParams)
namespace cuda {
void image_to_tensor(const ImageToTensorParams&);
}

}  // namespace noisewright

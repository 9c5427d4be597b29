// Pictures at another size: uint8 [h, w, 3] to uint8 [h', w', 3], each axis resampled on its own, rows first.
//   area      shrinking: the mean of the source area under each pixel; enlarging: two taps with soft edges between
//   source pixels lanczos   eight taps of sinc(t) sinc(t / 4), not widened when shrinking
// The rounding is OpenCV's (float32 sums for area, 11-bit weights otherwise), because training data is compared with
// its results.
#pragma once
#include "core/cpu_target.h"
#include "core/dtype.h"

namespace noisewright {

enum class ResizeMode : int32_t {
  kBlocks,   // both sizes divide: plain means of blocks of pixels
  kArea,     // float weights, `first` and `count` for each target position
  kLinear,   // integer weights, 2 taps
  kLanczos,  // integer weights, 8 taps
};

// How the positions of one axis are made from source positions.
struct ResizeAxis {
  const int32_t* index;          // kArea: [size] the first source position; taps: [size, taps]
  const int32_t* start;          // kArea: [size + 1] into weights
  const float* weights;          // kArea
  const int16_t* fixed_weights;  // taps: [size, taps], 2048 = 1
  int64_t block;                 // kBlocks: source pixels for each target pixel
};

struct ResizeImageParams {
  const uint8_t* x;
  uint8_t* y;
  int64_t in_height, in_width, height, width;
  ResizeMode mode;
  ResizeAxis rows, columns;
};

CPU_KERNEL(resize_image, ResizeImageParams)

}  // namespace noisewright

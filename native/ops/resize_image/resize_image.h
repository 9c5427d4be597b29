// Pictures at another size: uint8 [h, w, c] to uint8 [h', w', c], c = 1 or 3, each axis resampled on its own.
//   area      shrinking: the mean of the source area under each pixel; enlarging: two taps with soft edges between
//             source pixels
//   nearest   one pixel of the source
//   linear    two taps each way, cubic four; not widened when shrinking
//   lanczos   eight taps of sinc(t) sinc(t / 4), not widened when shrinking
//   lanczos3  six taps of sinc(t) sinc(t / 3), widened when shrinking
//   box       the nearest pixel, widened when shrinking to the mean of the pixels whose middles are under the target's
// The rounding of lanczos3 and box is Pillow's (22-bit weights, along the rows first, to 8 bits after each axis), that
// of all others OpenCV's (float32 sums for area, 11-bit weights otherwise), because training data is compared with
// their results.
#pragma once
#include "core/cpu_target.h"
#include "core/dtype.h"

namespace noisewright {

enum class ResizeMode : int32_t {
  kBlocks,   // both sizes divide: plain means of blocks of pixels
  kArea,     // float weights, `start` and `index` for each target position
  kLinear,   // integer weights, 2 taps
  kLanczos,  // integer weights, 8 taps
  kWide,     // wide integer weights, `start` and `index` for each target position
  kNearest,  // integer weights, 1 tap
  kCubic,    // integer weights, 4 taps
};

// Of the modes that have the same number for each target position; otherwise 0.
constexpr int64_t taps_of(ResizeMode mode) {
  switch (mode) {
    case ResizeMode::kNearest:
      return 1;
    case ResizeMode::kLinear:
      return 2;
    case ResizeMode::kCubic:
      return 4;
    case ResizeMode::kLanczos:
      return 8;
    default:
      return 0;
  }
}

// How the positions of one axis, those of the window that is wanted, are made from source positions.
struct ResizeAxis {
  const int32_t* index;          // kArea, kWide: [size] the first source position; taps: [size, taps]
  const int32_t* start;          // kArea, kWide: [size + 1] into weights
  const float* weights;          // kArea
  const int16_t* fixed_weights;  // taps: [size, taps], 2048 = 1
  const int32_t* wide_weights;   // kWide, 2^22 = 1
  int64_t block;                 // kBlocks: source pixels for each target pixel
  int64_t low, high;             // source positions that are needed: [low, high)
};

struct ResizeImageParams {
  const uint8_t* x;
  uint8_t* y;
  int64_t in_height, in_width, channels, height, width;  // height and width of the window
  ResizeMode mode;
  ResizeAxis rows, columns;
  uint8_t* scratch;        // aligned to 64 bytes
  int64_t thread_scratch;  // bytes of it for each thread; kWide uses all together
};

CPU_KERNEL(resize_image, ResizeImageParams)
namespace cuda {
void resize_image(const ResizeImageParams&);
}

}  // namespace noisewright

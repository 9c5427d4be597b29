#include "ops/shift_hue/shift_hue.h"

#include <string.h>

#include "core/parallel.h"
#include "core/simd.h"
#include "ops/shift_hue/hue_of_pixel.h"

namespace noisewright::NOISEWRIGHT_TARGET {

void shift_hue(const ShiftHueParams& p) {
  if (!p.turns) {
    memcpy(p.y, p.x, static_cast<size_t>(p.pixels) * 3);
    return;
  }
  parallel_chunks(p.pixels, 4096, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) turn_pixel(p.x + i * 3, p.y + i * 3, p.tables);
  });
}

}  // namespace noisewright::NOISEWRIGHT_TARGET

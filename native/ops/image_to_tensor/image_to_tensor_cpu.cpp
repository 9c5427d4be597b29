#include "ops/image_to_tensor/image_to_tensor.h"

#include "core/parallel.h"

namespace noisewright::NOISEWRIGHT_TARGET {

void image_to_tensor(const ImageToTensorParams& p) {
  parallel_chunks(p.height, 32, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++) {
      const uint8_t* x = p.x + ((p.top + row) * p.in_width + p.left) * 3;
      float* y = p.y + row * p.width * 3;
      for (int64_t column = 0; column < p.width; column++) {
        const uint8_t* from = x + (p.flip ? p.width - 1 - column : column) * 3;
        for (int64_t c = 0; c < 3; c++) y[column * 3 + c] = static_cast<float>(from[c]) / 127.5f - 1.0f;
      }
    }
  });
}

}  // namespace noisewright::NOISEWRIGHT_TARGET

// A task makes a few target rows. Rows of the source are resampled along their length first; what several target rows
// need is kept.
#include "ops/resize_image/resize_image.h"

#include <math.h>

#include "core/parallel.h"

namespace noisewright::NOISEWRIGHT_TARGET {

namespace {

constexpr int64_t kRows = 16;  // target rows of a task

uint8_t round_to_byte(float x) {
  const float r = ::nearbyintf(x);
  return static_cast<uint8_t>(r < 0 ? 0 : r > 255 ? 255 : r);
}

uint8_t clamp_to_byte(int32_t x) { return static_cast<uint8_t>(x < 0 ? 0 : x > 255 ? 255 : x); }

void resize_blocks(const ResizeImageParams& p) {
  const int64_t tall = p.rows.block, wide = p.columns.block, row_bytes = p.in_width * 3;
  const float share = 1.0f / static_cast<float>(tall * wide);
  parallel_chunks(p.height, kRows, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++)
      for (int64_t column = 0; column < p.width; column++)
        for (int64_t c = 0; c < 3; c++) {
          const uint8_t* x = p.x + row * tall * row_bytes + column * wide * 3 + c;
          int32_t sum = 0;
          for (int64_t i = 0; i < tall; i++)
            for (int64_t j = 0; j < wide; j++) sum += x[i * row_bytes + j * 3];
          uint8_t& y = p.y[(row * p.width + column) * 3 + c];
          y = tall == 2 && wide == 2 ? static_cast<uint8_t>((sum + 2) >> 2)
                                     : round_to_byte(static_cast<float>(sum) * share);
        }
  });
}

void resize_area(const ResizeImageParams& p) {
  const int64_t width = p.width * 3;
  Scratch<float> scratch(thread_count() * 2 * width);
  parallel_for((p.height + kRows - 1) / kRows, [&](int64_t task, int thread) {
    float* narrow = scratch.data + thread * 2 * width;
    float* sum = narrow + width;
    for (int64_t row = task * kRows; row < task * kRows + kRows && row < p.height; row++) {
      const int32_t first = p.rows.start[row], count = p.rows.start[row + 1] - first;
      for (int64_t i = 0; i < count; i++) {
        const uint8_t* x = p.x + (p.rows.index[row] + i) * p.in_width * 3;
        for (int64_t column = 0; column < p.width; column++) {
          const uint8_t* from = x + p.columns.index[column] * 3;
          float r = 0, g = 0, b = 0;
          for (int32_t k = p.columns.start[column]; k < p.columns.start[column + 1]; k++, from += 3) {
            const float weight = p.columns.weights[k];
            r += static_cast<float>(from[0]) * weight;
            g += static_cast<float>(from[1]) * weight;
            b += static_cast<float>(from[2]) * weight;
          }
          narrow[column * 3] = r;
          narrow[column * 3 + 1] = g;
          narrow[column * 3 + 2] = b;
        }
        const float weight = p.rows.weights[first + i];
        if (i == 0)
          for (int64_t k = 0; k < width; k++) sum[k] = weight * narrow[k];
        else
          for (int64_t k = 0; k < width; k++) sum[k] += weight * narrow[k];
      }
      for (int64_t k = 0; k < width; k++) p.y[row * width + k] = round_to_byte(sum[k]);
    }
  });
}

// One source row at the target's width, scaled by 2048.
template <int taps>
void stretch_row(const ResizeImageParams& p, const uint8_t* x, int32_t* y) {
  for (int64_t column = 0; column < p.width; column++) {
    const int32_t* index = p.columns.index + column * taps;
    const int16_t* weights = p.columns.fixed_weights + column * taps;
    int32_t sum[3] = {0, 0, 0};
    for (int tap = 0; tap < taps; tap++)
      for (int c = 0; c < 3; c++) sum[c] += x[index[tap] * 3 + c] * weights[tap];
    for (int c = 0; c < 3; c++) y[column * 3 + c] = sum[c];
  }
}

template <int taps>
void resize_taps(const ResizeImageParams& p) {
  const int64_t width = p.width * 3;
  Scratch<int32_t> scratch(thread_count() * taps * width);
  parallel_for((p.height + kRows - 1) / kRows, [&](int64_t task, int thread) {
    // Row s of the source, stretched, lies in slot s % taps: the rows of one target row are neighbours.
    int32_t* slots = scratch.data + thread * taps * width;
    int32_t held[taps];
    for (int32_t& s : held) s = -1;
    for (int64_t row = task * kRows; row < task * kRows + kRows && row < p.height; row++) {
      const int32_t* index = p.rows.index + row * taps;
      const int16_t* weights = p.rows.fixed_weights + row * taps;
      const int32_t* from[taps];
      for (int tap = 0; tap < taps; tap++) {
        const int32_t s = index[tap], slot = s % taps;
        if (held[slot] != s) stretch_row<taps>(p, p.x + s * p.in_width * 3, slots + slot * width);
        held[slot] = s;
        from[tap] = slots + slot * width;
      }
      uint8_t* y = p.y + row * width;
      if constexpr (taps == 2) {
        for (int64_t k = 0; k < width; k++)
          y[k] = clamp_to_byte(
              (((weights[0] * (from[0][k] >> 4)) >> 16) + ((weights[1] * (from[1][k] >> 4)) >> 16) + 2) >> 2);
      } else {
        for (int64_t k = 0; k < width; k++) {
          int32_t sum = 1 << 21;
          for (int tap = 0; tap < taps; tap++) sum += from[tap][k] * weights[tap];
          y[k] = clamp_to_byte(sum >> 22);
        }
      }
    }
  });
}

}  // namespace

void resize_image(const ResizeImageParams& p) {
  switch (p.mode) {
    case ResizeMode::kBlocks:
      return resize_blocks(p);
    case ResizeMode::kArea:
      return resize_area(p);
    case ResizeMode::kLinear:
      return resize_taps<2>(p);
    case ResizeMode::kLanczos:
      return resize_taps<8>(p);
  }
}

}  // namespace noisewright::NOISEWRIGHT_TARGET

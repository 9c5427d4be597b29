// A task makes a few target rows. Shrinking by area, rows of the source are added up first, because that reads memory
// in order and in whole vectors; otherwise rows of the source are resampled along their length first, and what several
// target rows need is kept.
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

template <class T>
T* scratch_of(const ResizeImageParams& p, int thread) {
  return reinterpret_cast<T*>(p.scratch + thread * p.thread_scratch);
}

// body(row, thread) for every target row.
template <class Body>
void for_rows(const ResizeImageParams& p, Body&& body) {
  parallel_for((p.height + kRows - 1) / kRows, [&](int64_t task, int thread) {
    for (int64_t row = task * kRows; row < task * kRows + kRows && row < p.height; row++) body(row, thread);
  });
}

template <int channels>
void resize_blocks(const ResizeImageParams& p) {
  const int64_t tall = p.rows.block, wide = p.columns.block, row_bytes = p.in_width * channels,
                span = p.width * wide * channels;
  const float share = 1.0f / static_cast<float>(tall * wide);
  for_rows(p, [&](int64_t row, int thread) {
    uint32_t* __restrict__ sums = scratch_of<uint32_t>(p, thread);
    const uint8_t* __restrict__ x = p.x + (p.rows.low + row * tall) * row_bytes + p.columns.low * channels;
    for (int64_t k = 0; k < span; k++) sums[k] = x[k];
    for (int64_t i = 1; i < tall; i++) {
      x += row_bytes;
      for (int64_t k = 0; k < span; k++) sums[k] += x[k];
    }
    uint8_t* y = p.y + row * p.width * channels;
    for (int64_t column = 0; column < p.width; column++)
      for (int64_t c = 0; c < channels; c++) {
        uint32_t sum = 0;
        for (int64_t j = 0; j < wide; j++) sum += sums[(column * wide + j) * channels + c];
        y[column * channels + c] = tall == 2 && wide == 2 ? static_cast<uint8_t>((sum + 2) >> 2)
                                                          : round_to_byte(static_cast<float>(sum) * share);
      }
  });
}

// sums = or += the weighted rows of x, four at a time.
void add_rows(float* __restrict__ sums, const uint8_t* __restrict__ x, int64_t row_bytes, const float* weights,
              int64_t count, int64_t span) {
  for (int64_t k = 0; k < span; k++) sums[k] = weights[0] * static_cast<float>(x[k]);
  int64_t i = 1;
  for (; i + 4 <= count; i += 4) {
    const uint8_t *a = x + i * row_bytes, *b = a + row_bytes, *c = b + row_bytes, *d = c + row_bytes;
    const float wa = weights[i], wb = weights[i + 1], wc = weights[i + 2], wd = weights[i + 3];
    for (int64_t k = 0; k < span; k++)
      sums[k] += (wa * static_cast<float>(a[k]) + wb * static_cast<float>(b[k])) +
                 (wc * static_cast<float>(c[k]) + wd * static_cast<float>(d[k]));
  }
  for (; i < count; i++) {
    const uint8_t* a = x + i * row_bytes;
    const float wa = weights[i];
    for (int64_t k = 0; k < span; k++) sums[k] += wa * static_cast<float>(a[k]);
  }
}

template <int channels>
void resize_area(const ResizeImageParams& p) {
  const int64_t row_bytes = p.in_width * channels, span = (p.columns.high - p.columns.low) * channels;
  for_rows(p, [&](int64_t row, int thread) {
    float* sums = scratch_of<float>(p, thread);
    const int32_t first = p.rows.start[row], count = p.rows.start[row + 1] - first;
    add_rows(sums, p.x + p.rows.index[row] * row_bytes + p.columns.low * channels, row_bytes, p.rows.weights + first,
             count, span);
    uint8_t* y = p.y + row * p.width * channels;
    for (int64_t column = 0; column < p.width; column++) {
      const float* from = sums + (p.columns.index[column] - p.columns.low) * channels;
      float sum[channels] = {};
      for (int32_t k = p.columns.start[column]; k < p.columns.start[column + 1]; k++, from += channels)
        for (int c = 0; c < channels; c++) sum[c] += from[c] * p.columns.weights[k];
      for (int c = 0; c < channels; c++) y[column * channels + c] = round_to_byte(sum[c]);
    }
  });
}

// One source row at the target's width, scaled by 2048.
template <int taps, int channels>
void stretch_row(const ResizeImageParams& p, const uint8_t* x, int32_t* y) {
  for (int64_t column = 0; column < p.width; column++) {
    const int32_t* index = p.columns.index + column * taps;
    const int16_t* weights = p.columns.fixed_weights + column * taps;
    int32_t sum[channels] = {};
    for (int tap = 0; tap < taps; tap++)
      for (int c = 0; c < channels; c++) sum[c] += x[index[tap] * channels + c] * weights[tap];
    for (int c = 0; c < channels; c++) y[column * channels + c] = sum[c];
  }
}

template <int taps, int channels>
void resize_taps(const ResizeImageParams& p) {
  const int64_t width = p.width * channels;
  parallel_for((p.height + kRows - 1) / kRows, [&](int64_t task, int thread) {
    // Row s of the source, stretched, lies in slot s % taps: the rows of one target row are neighbours.
    int32_t* slots = scratch_of<int32_t>(p, thread);
    int32_t held[taps];
    for (int32_t& s : held) s = -1;
    for (int64_t row = task * kRows; row < task * kRows + kRows && row < p.height; row++) {
      const int32_t* index = p.rows.index + row * taps;
      const int16_t* weights = p.rows.fixed_weights + row * taps;
      const int32_t* from[taps];
      for (int tap = 0; tap < taps; tap++) {
        const int32_t s = index[tap], slot = s % taps;
        if (held[slot] != s) stretch_row<taps, channels>(p, p.x + s * p.in_width * channels, slots + slot * width);
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

template <int channels>
void resize_wide_taps(const ResizeImageParams& p) {
  const int64_t width = p.width * channels;
  parallel_chunks(p.rows.high - p.rows.low, kRows, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++) {
      const uint8_t* x = p.x + (p.rows.low + row) * p.in_width * channels;
      for (int64_t column = 0; column < p.width; column++) {
        const uint8_t* from = x + p.columns.index[column] * channels;
        int32_t sum[channels];
        for (int32_t& s : sum) s = 1 << 21;
        for (int32_t k = p.columns.start[column]; k < p.columns.start[column + 1]; k++, from += channels)
          for (int c = 0; c < channels; c++) sum[c] += from[c] * p.columns.wide_weights[k];
        for (int c = 0; c < channels; c++) p.scratch[row * width + column * channels + c] = clamp_to_byte(sum[c] >> 22);
      }
    }
  });
  parallel_chunks(p.height, kRows, [&](int64_t begin, int64_t end) {
    constexpr int64_t kPiece = 256;  // of a row, whose sums stay in registers and the nearest cache
    for (int64_t row = begin; row < end; row++) {
      const int32_t first = p.rows.start[row], count = p.rows.start[row + 1] - first;
      const uint8_t* x = p.scratch + (p.rows.index[row] - p.rows.low) * width;
      for (int64_t piece = 0; piece < width; piece += kPiece) {
        const int64_t n = width - piece < kPiece ? width - piece : kPiece;
        int32_t sum[kPiece];
        for (int64_t k = 0; k < n; k++) sum[k] = 1 << 21;
        for (int32_t i = 0; i < count; i++) {
          const int32_t weight = p.rows.wide_weights[first + i];
          for (int64_t k = 0; k < n; k++) sum[k] += x[i * width + piece + k] * weight;
        }
        for (int64_t k = 0; k < n; k++) p.y[row * width + piece + k] = clamp_to_byte(sum[k] >> 22);
      }
    }
  });
}

template <int channels>
void resize(const ResizeImageParams& p) {
  switch (p.mode) {
    case ResizeMode::kBlocks:
      return resize_blocks<channels>(p);
    case ResizeMode::kArea:
      return resize_area<channels>(p);
    case ResizeMode::kLinear:
      return resize_taps<2, channels>(p);
    case ResizeMode::kLanczos:
      return resize_taps<8, channels>(p);
    case ResizeMode::kWide:
      return resize_wide_taps<channels>(p);
    case ResizeMode::kNearest:
      return resize_taps<1, channels>(p);
    case ResizeMode::kCubic:
      return resize_taps<4, channels>(p);
  }
}

}  // namespace

void resize_image(const ResizeImageParams& p) { p.channels == 1 ? resize<1>(p) : resize<3>(p); }

}  // namespace noisewright::NOISEWRIGHT_TARGET

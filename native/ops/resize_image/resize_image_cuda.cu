// A thread makes one byte. Where the CPU keeps what neighbours share, it is computed again here, with the same
// operations in the same order: the bytes are those of the CPU kernel. Only lanczos3 and box, which round after each
// axis, have two passes.
#include "ops/resize_image/resize_image_cuda.h"

#include "cuda/elementwise.cuh"
#include "ops/resize_image/resize_image.h"

namespace noisewright::cuda {

namespace {

__device__ inline uint8_t round_to_byte(float x) {
  const float r = nearbyintf(x);
  return static_cast<uint8_t>(r < 0.0f ? 0.0f : r > 255.0f ? 255.0f : r);
}

__device__ inline uint8_t clamp_to_byte(int32_t x) { return static_cast<uint8_t>(x < 0 ? 0 : x > 255 ? 255 : x); }

struct Target {
  int64_t row, column, channel;
};

// Which byte of [rows, p.width, p.channels] this thread makes; row is past the end where it makes none.
__device__ inline Target target_of(const ResizeImageParams& p) {
  const gpu::Division pixel = gpu::divide(int64_t{blockIdx.x} * kResizeThreads + threadIdx.x, p.channels);
  const gpu::Division row = gpu::divide(pixel.quotient, p.width);
  return {row.quotient, row.remainder, pixel.remainder};
}

__device__ inline uint8_t& byte_at(const ResizeImageParams& p, uint8_t* y, const Target& t) {
  return y[(t.row * p.width + t.column) * p.channels + t.channel];
}

__device__ inline void resize_blocks(const ResizeImageParams& p) {
  const Target t = target_of(p);
  if (t.row >= p.height) return;
  const int64_t tall = p.rows.block, wide = p.columns.block, row_bytes = p.in_width * p.channels;
  const uint8_t* x =
      p.x + (p.rows.low + t.row * tall) * row_bytes + (p.columns.low + t.column * wide) * p.channels + t.channel;
  uint32_t sum = 0;
  for (int64_t i = 0; i < tall; i++)
    for (int64_t j = 0; j < wide; j++) sum += x[i * row_bytes + j * p.channels];
  const float share = 1.0f / static_cast<float>(tall * wide);
  byte_at(p, p.y, t) =
      tall == 2 && wide == 2 ? static_cast<uint8_t>((sum + 2) >> 2) : round_to_byte(static_cast<float>(sum) * share);
}

// The weighted sum of `count` bytes that lie a row apart, added four at a time.
__device__ inline float sum_of_rows(const uint8_t* x, int64_t row_bytes, const float* weights, int32_t count) {
  const auto term = [&](int32_t i) { return weights[i] * static_cast<float>(x[i * row_bytes]); };
  float sum = term(0);
  int32_t i = 1;
  for (; i + 4 <= count; i += 4) sum += (term(i) + term(i + 1)) + (term(i + 2) + term(i + 3));
  for (; i < count; i++) sum += term(i);
  return sum;
}

__device__ inline void resize_area(const ResizeImageParams& p) {
  const Target t = target_of(p);
  if (t.row >= p.height) return;
  const int64_t row_bytes = p.in_width * p.channels;
  const int32_t first = p.rows.start[t.row], count = p.rows.start[t.row + 1] - first;
  const uint8_t* x = p.x + p.rows.index[t.row] * row_bytes + p.columns.index[t.column] * p.channels + t.channel;
  float sum = 0.0f;
  for (int32_t k = p.columns.start[t.column]; k < p.columns.start[t.column + 1]; k++, x += p.channels)
    sum += sum_of_rows(x, row_bytes, p.rows.weights + first, count) * p.columns.weights[k];
  byte_at(p, p.y, t) = round_to_byte(sum);
}

// One byte of a source row at the target's width, scaled by 2048.
template <int kTaps>
__device__ inline int32_t stretched(const ResizeImageParams& p, const uint8_t* x, const Target& t) {
  const int32_t* index = p.columns.index + t.column * kTaps;
  const int16_t* weights = p.columns.fixed_weights + t.column * kTaps;
  int32_t sum = 0;
  for (int tap = 0; tap < kTaps; tap++) sum += x[index[tap] * p.channels + t.channel] * weights[tap];
  return sum;
}

template <int kTaps>
__device__ inline void resize_taps(const ResizeImageParams& p) {
  const Target t = target_of(p);
  if (t.row >= p.height) return;
  const int32_t* index = p.rows.index + t.row * kTaps;
  const int16_t* weights = p.rows.fixed_weights + t.row * kTaps;
  int32_t sum = kTaps == 2 ? 2 : 1 << 21;
  for (int tap = 0; tap < kTaps; tap++) {
    const int32_t value = stretched<kTaps>(p, p.x + index[tap] * p.in_width * p.channels, t);
    sum += kTaps == 2 ? (weights[tap] * (value >> 4)) >> 16 : value * weights[tap];
  }
  byte_at(p, p.y, t) = clamp_to_byte(sum >> (kTaps == 2 ? 2 : 22));
}

// The sum of `count` bytes, `stride` apart, with weights of 2^22 = 1.
__device__ inline uint8_t wide_sum(const uint8_t* x, int64_t stride, const int32_t* weights, int32_t count) {
  int32_t sum = 1 << 21;
  for (int32_t i = 0; i < count; i++) sum += x[i * stride] * weights[i];
  return clamp_to_byte(sum >> 22);
}

// Rows [rows.low, rows.high) of the source at the target's width, in p.scratch.
__device__ inline void resize_wide_columns(const ResizeImageParams& p) {
  const Target t = target_of(p);
  if (t.row >= p.rows.high - p.rows.low) return;
  const int32_t first = p.columns.start[t.column], count = p.columns.start[t.column + 1] - first;
  const uint8_t* x = p.x + ((p.rows.low + t.row) * p.in_width + p.columns.index[t.column]) * p.channels + t.channel;
  byte_at(p, p.scratch, t) = wide_sum(x, p.channels, p.columns.wide_weights + first, count);
}

__device__ inline void resize_wide_rows(const ResizeImageParams& p) {
  const Target t = target_of(p);
  if (t.row >= p.height) return;
  const int32_t first = p.rows.start[t.row], count = p.rows.start[t.row + 1] - first;
  const Target top{p.rows.index[t.row] - p.rows.low, t.column, t.channel};
  byte_at(p, p.y, t) = wide_sum(&byte_at(p, p.scratch, top), p.width * p.channels, p.rows.wide_weights + first, count);
}

}  // namespace

#define RESIZE_KERNEL(name, call)                                                                  \
  extern "C" __global__ void __launch_bounds__(kResizeThreads) name(ResizeImageParams p) { call; } \
  KERNEL(name)

RESIZE_KERNEL(resize_blocks_kernel, resize_blocks(p));
RESIZE_KERNEL(resize_area_kernel, resize_area(p));
RESIZE_KERNEL(resize_nearest_kernel, resize_taps<1>(p));
RESIZE_KERNEL(resize_linear_kernel, resize_taps<2>(p));
RESIZE_KERNEL(resize_cubic_kernel, resize_taps<4>(p));
RESIZE_KERNEL(resize_lanczos_kernel, resize_taps<8>(p));
RESIZE_KERNEL(resize_wide_columns_kernel, resize_wide_columns(p));
RESIZE_KERNEL(resize_wide_rows_kernel, resize_wide_rows(p));

}  // namespace noisewright::cuda

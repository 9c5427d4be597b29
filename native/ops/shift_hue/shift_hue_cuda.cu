// A thread turns four neighbouring pixels; the tables wait in shared memory (2 KiB).
#include "ops/shift_hue/shift_hue_cuda.h"

#include "cuda/scalar_vec.cuh"
#include "ops/shift_hue/hue_of_pixel.h"

namespace noisewright::cuda {

namespace {

__device__ inline void turn_pixels(const ShiftHueParams& p, bool words) {
  SHARED(HueTables, tables, [1]);
  static_assert(kHueThreads == 256 && kHues <= kHueThreads, "a thread copies one line of the tables");
  const unsigned thread = threadIdx.x;
  tables[0].saturation[thread] = p.tables.saturation[thread];
  tables[0].hue[thread] = p.tables.hue[thread];
  if (thread < kHues) tables[0].turned[thread] = p.tables.turned[thread];
  __syncthreads();
  const int64_t first = (int64_t{blockIdx.x} * kHueThreads + thread) * kHuePixels, left = p.pixels - first;
  if (left <= 0) return;
  if (!words || left < kHuePixels) {
    for (int64_t i = first; i < p.pixels && i < first + kHuePixels; i++)
      for (int c = 0; c < 3 && !p.turns; c++) p.y[i * 3 + c] = p.x[i * 3 + c];
    for (int64_t i = first; i < p.pixels && i < first + kHuePixels && p.turns; i++)
      turn_pixel(p.x + i * 3, p.y + i * 3, tables[0]);
    return;
  }
  const auto* from = reinterpret_cast<const uint32_t*>(p.x + first * 3);
  auto* to = reinterpret_cast<uint32_t*>(p.y + first * 3);
  uint32_t word[3] = {from[0], from[1], from[2]};
  if (p.turns) {
    uint8_t x[12], y[12];
    for (int i = 0; i < 12; i++) x[i] = static_cast<uint8_t>(word[i / 4] >> i % 4 * 8);
    for (int i = 0; i < 12; i += 3) turn_pixel(x + i, y + i, tables[0]);
    for (int i = 0; i < 3; i++)
      word[i] = y[4 * i] | uint32_t{y[4 * i + 1]} << 8 | uint32_t{y[4 * i + 2]} << 16 | uint32_t{y[4 * i + 3]} << 24;
  }
  for (int i = 0; i < 3; i++) to[i] = word[i];
}

}  // namespace

extern "C" __global__ void __launch_bounds__(kHueThreads) shift_hue_kernel(ShiftHueParams p, bool words) {
  turn_pixels(p, words);
}
KERNEL(shift_hue_kernel);

}  // namespace noisewright::cuda

// Quantisation inside kernels. Like core/simd.h: included only by kernel files, everything with internal linkage.
#pragma once
#include "core/quantization.h"
#include "core/simd.h"

namespace noisewright::NOISEWRIGHT_TARGET {
namespace {

// The nearest code of u in [0, 1]; exact midpoints go to the even code. Larger numbers and NaN saturate.
NW_INLINE int magnitude_code(const QuantizationMap& map, float u) {
  uint32_t bits;
  std::memcpy(&bits, &u, 4);
  const uint32_t prefix = bits >> 16, last = QuantizationMap::kPrefixes - 1;
  const int base = map.base[prefix < last ? prefix : last];
  const float midpoint = map.midpoint[base];
  return base + ((u > midpoint) | ((u == midpoint) & base & 1));
}

// Codes of x[0..n) scaled by 1 / absmax, which is not zero. keep_sign: a negative number never becomes zero, as the
// optimizers of the common implementation have it.
template <bool with_negatives, bool keep_sign>
NW_INLINE void encode_block(const QuantizationMap& map, const float* x, float absmax, uint8_t* codes, int64_t n) {
  alignas(64) float scaled[kQuantizationBlock + 16];
  const Vec scale = broadcast(absmax);
  for (int64_t i = 0; i < n; i += kLanes) store(scaled + i, load_up_to(x + i, n - i) / scale);
  for (int64_t i = 0; i < n; i++) {
    if constexpr (!with_negatives) {
      codes[i] = static_cast<uint8_t>(magnitude_code(map, scaled[i]));
    } else {
      // The values mirror each other: code 254 - k holds the negative of code k, apart from 255 which has no partner.
      uint32_t bits;
      std::memcpy(&bits, &scaled[i], 4);
      const int code = magnitude_code(map, __builtin_fabsf(scaled[i]));
      const int least = keep_sign ? 128 : 127, mirrored = 254 - (code < least ? least : code);
      codes[i] = static_cast<uint8_t>(bits >> 31 ? (mirrored < 0 ? 0 : mirrored) : code);
    }
  }
}

NW_INLINE void decode_block(const QuantizationMap& map, const uint8_t* codes, float absmax, float* x, int64_t n) {
  for (int64_t i = 0; i < n; i++) x[i] = map.value[codes[i]] * absmax;
}

}  // namespace
}  // namespace noisewright::NOISEWRIGHT_TARGET

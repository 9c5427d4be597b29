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

// How near to a midpoint, in codes, the arithmetic below cannot be trusted; its own error is under 6e-5.
constexpr float kNearMidpoint = 0.5f - 1e-4f;

// Codes, as floats, of u in [0, 1]. `doubt` rises above kNearMidpoint when one of them may be the wrong neighbour.
NW_INLINE Vec magnitude_codes(const QuantizationMap& map, Vec u, Vec& doubt) {
  Vec slope = zero(), offset = broadcast(map.offset[0]), last = offset;
  for (int region = 1; region < QuantizationMap::kRegions; region++) {
    const Vec threshold = broadcast(map.threshold[region]);
    slope = select_less(u, threshold, slope, broadcast(map.slope[region]));
    offset = select_less(u, threshold, offset, broadcast(map.offset[region]));
    last = select_less(u, threshold, last, broadcast(map.last[region]));
  }
  const Vec position = fma(u, slope, offset), code = round(position);
  doubt = max(doubt, abs(position - code));
  return min(code, last);
}

// The values mirror each other: code 254 - k holds the negative of code k, apart from 255 which has no partner.
// keep_sign: a negative number never becomes zero, as the optimizers of the common implementation have it.
template <bool keep_sign>
NW_INLINE int negative_code(int code) {
  const int least = keep_sign ? 128 : 127, mirrored = 254 - (code < least ? least : code);
  return mirrored < 0 ? 0 : mirrored;
}

// Codes of x[0..n) scaled by 1 / absmax, which is not zero.
template <bool with_negatives, bool keep_sign>
NW_INLINE void encode_block(const QuantizationMap& map, const float* x, float absmax, uint8_t* codes, int64_t n) {
  alignas(64) float scaled[kQuantizationBlock + kLanes], nearest[kQuantizationBlock + kLanes];
  const Vec divisor = broadcast(absmax);
  Vec doubt = zero();
  for (int64_t i = 0; i < n; i += kLanes) {
    const Vec u = load_up_to(x + i, n - i) / divisor;
    Vec code = magnitude_codes(map, abs(u), doubt);
    if constexpr (with_negatives) {
      const Vec mirrored = max(zero(), broadcast(254.0f) - max(code, broadcast(keep_sign ? 128.0f : 127.0f)));
      code = select_less(u, zero(), mirrored, code);
    }
    store(scaled + i, u);
    store(nearest + i, code);
  }
  if (max_lanes(doubt) < kNearMidpoint) {
    for (int64_t i = 0; i < n; i++) codes[i] = static_cast<uint8_t>(static_cast<int32_t>(nearest[i]));
    return;
  }
  for (int64_t i = 0; i < n; i++) {
    const int code = magnitude_code(map, __builtin_fabsf(scaled[i]));
    codes[i] = static_cast<uint8_t>(with_negatives && scaled[i] < 0 ? negative_code<keep_sign>(code) : code);
  }
}

NW_INLINE void decode_block(const QuantizationMap& map, const uint8_t* codes, float absmax, float* x, int64_t n) {
  for (int64_t i = 0; i < n; i++) x[i] = map.value[codes[i]] * absmax;
}

}  // namespace
}  // namespace noisewright::NOISEWRIGHT_TARGET

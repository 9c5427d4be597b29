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

// The values mirror each other: code 254 - k holds the negative of code k, apart from 255 which has no partner.
// keep_sign: a negative number never becomes zero, as the optimizers of the common implementation have it.
template <bool keep_sign>
NW_INLINE int negative_code(int code) {
  const int least = keep_sign ? 128 : 127, mirrored = 254 - (code < least ? least : code);
  return mirrored < 0 ? 0 : mirrored;
}

#if defined(__AVX512F__)

// Codes of x[0..n) scaled by 1 / absmax, which is not zero. The region is looked up by the exponent, its line by the
// region; lanes near a midpoint are decided by the table of prefixes.
template <bool with_negatives, bool keep_sign>
NW_INLINE void encode_block(const QuantizationMap& map, const float* x, float absmax, uint8_t* codes, int64_t n) {
  const __m512 divisor = _mm512_set1_ps(absmax), slope = _mm512_loadu_ps(map.slope),
               offset = _mm512_loadu_ps(map.offset), last = _mm512_loadu_ps(map.last);
  const __m512 threshold0 = _mm512_loadu_ps(map.binade_threshold),
               threshold1 = _mm512_loadu_ps(map.binade_threshold + 16);
  const __m512i region0 = _mm512_loadu_si512(map.binade_region), region1 = _mm512_loadu_si512(map.binade_region + 16);
  for (int64_t i = 0; i < n; i += kLanes) {
    const __m512 scaled = _mm512_div_ps(load_up_to(x + i, n - i).v, divisor), u = _mm512_abs_ps(scaled);
    __m512i binade = _mm512_sub_epi32(_mm512_srli_epi32(_mm512_castps_si512(u), 23), _mm512_set1_epi32(127 - 31));
    binade = _mm512_min_epi32(_mm512_max_epi32(binade, _mm512_setzero_si512()), _mm512_set1_epi32(31));
    const __mmask16 behind = _mm512_cmp_ps_mask(u, _mm512_permutex2var_ps(threshold0, binade, threshold1), _CMP_GE_OQ);
    __m512i region = _mm512_permutex2var_epi32(region0, binade, region1);
    region = _mm512_mask_add_epi32(region, behind, region, _mm512_set1_epi32(1));
    const __m512 position =
        _mm512_fmadd_ps(u, _mm512_permutexvar_ps(region, slope), _mm512_permutexvar_ps(region, offset));
    const __m512 nearest = _mm512_roundscale_ps(position, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m512 distance = _mm512_abs_ps(_mm512_sub_ps(position, nearest));
    unsigned doubt = _mm512_cmp_ps_mask(distance, _mm512_set1_ps(kNearMidpoint), _CMP_NLT_UQ);
    __m512i code = _mm512_cvtps_epi32(_mm512_min_ps(nearest, _mm512_permutexvar_ps(region, last)));
    if constexpr (with_negatives) {
      const __mmask16 negative = _mm512_cmp_ps_mask(scaled, _mm512_setzero_ps(), _CMP_LT_OQ);
      const __m512i held = _mm512_max_epi32(code, _mm512_set1_epi32(keep_sign ? 128 : 127));
      const __m512i mirrored = _mm512_max_epi32(_mm512_sub_epi32(_mm512_set1_epi32(254), held), _mm512_setzero_si512());
      code = _mm512_mask_mov_epi32(code, negative, mirrored);
    }
    uint8_t tail[kLanes];
    const bool whole = n - i >= kLanes;
    _mm_storeu_si128(reinterpret_cast<__m128i*>(whole ? codes + i : tail), _mm512_cvtepi32_epi8(code));
    if (!whole) {
      std::memcpy(codes + i, tail, static_cast<size_t>(n - i));
      doubt &= (1u << (n - i)) - 1;
    }
    for (; doubt; doubt &= doubt - 1) {
      const int64_t lane = i + __builtin_ctz(doubt);
      const float value = x[lane] / absmax;
      const int exact = magnitude_code(map, __builtin_fabsf(value));
      codes[lane] = static_cast<uint8_t>(with_negatives && value < 0 ? negative_code<keep_sign>(exact) : exact);
    }
  }
}

// The table in sixteen registers: each step of the look-up halves it.
NW_INLINE void decode_block(const QuantizationMap& map, const uint8_t* codes, float absmax, float* x, int64_t n) {
  __m512 table[16];
  for (int k = 0; k < 16; k++) table[k] = _mm512_loadu_ps(map.value + 16 * k);
  const __m512 scale = _mm512_set1_ps(absmax);
  for (int64_t i = 0; i < n; i += kLanes) {
    uint8_t tail[kLanes] = {};
    const bool whole = n - i >= kLanes;
    if (!whole) std::memcpy(tail, codes + i, static_cast<size_t>(n - i));
    const auto* from = reinterpret_cast<const __m128i*>(whole ? codes + i : tail);
    const __m512i code = _mm512_cvtepu8_epi32(_mm_loadu_si128(from));
    const __mmask16 bit5 = _mm512_test_epi32_mask(code, _mm512_set1_epi32(32)),
                    bit6 = _mm512_test_epi32_mask(code, _mm512_set1_epi32(64)),
                    bit7 = _mm512_test_epi32_mask(code, _mm512_set1_epi32(128));
    __m512 quarter[4];
    for (int k = 0; k < 4; k++)
      quarter[k] = _mm512_mask_blend_ps(bit5, _mm512_permutex2var_ps(table[4 * k], code, table[4 * k + 1]),
                                        _mm512_permutex2var_ps(table[4 * k + 2], code, table[4 * k + 3]));
    const __m512 low = _mm512_mask_blend_ps(bit6, quarter[0], quarter[1]),
                 high = _mm512_mask_blend_ps(bit6, quarter[2], quarter[3]);
    store_up_to(x + i, {_mm512_mul_ps(_mm512_mask_blend_ps(bit7, low, high), scale)}, n - i);
  }
}

#else

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
  int64_t i = 0;
#if defined(__AVX2__)
  const __m256 scale = _mm256_set1_ps(absmax);
  for (; i + kLanes <= n; i += kLanes) {
    const __m256i code = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(codes + i)));
    _mm256_storeu_ps(x + i, _mm256_mul_ps(_mm256_i32gather_ps(map.value, code, 4), scale));
  }
#endif
  for (; i < n; i++) x[i] = map.value[codes[i]] * absmax;
}

#endif

}  // namespace
}  // namespace noisewright::NOISEWRIGHT_TARGET

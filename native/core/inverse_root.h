// 1 / sqrt(x) of a vector. Included only by kernel files, as simd.h.
#pragma once
#include "core/simd.h"

namespace noisewright::NOISEWRIGHT_TARGET {
namespace {

#if defined(__AVX512F__)
NW_INLINE bool all_within(Vec a, float low, float high) {  // low <= a <= high in every lane
  const __mmask16 inside = _mm512_cmp_ps_mask(a.v, _mm512_set1_ps(low), _CMP_GE_OQ);
  return _mm512_mask_cmp_ps_mask(inside, a.v, _mm512_set1_ps(high), _CMP_LE_OQ) == 0xFFFF;
}
// minuend - half the bits of x, as integers
NW_INLINE Vec minus_half_bits(int32_t minuend, Vec x) {
  return {_mm512_castsi512_ps(
      _mm512_sub_epi32(_mm512_set1_epi32(minuend), _mm512_srli_epi32(_mm512_castps_si512(x.v), 1)))};
}
#elif defined(__AVX2__)
NW_INLINE bool all_within(Vec a, float low, float high) {
  const __m256 inside = _mm256_and_ps(_mm256_cmp_ps(a.v, _mm256_set1_ps(low), _CMP_GE_OQ),
                                      _mm256_cmp_ps(a.v, _mm256_set1_ps(high), _CMP_LE_OQ));
  return _mm256_movemask_ps(inside) == 0xFF;
}
NW_INLINE Vec minus_half_bits(int32_t minuend, Vec x) {
  return {_mm256_castsi256_ps(
      _mm256_sub_epi32(_mm256_set1_epi32(minuend), _mm256_srli_epi32(_mm256_castps_si256(x.v), 1)))};
}
#else
NW_INLINE bool all_within(Vec a, float low, float high) {
  bool inside = true;
  for (int i = 0; i < 4; i++) inside = inside && a.v[i] >= low && a.v[i] <= high;
  return inside;
}
NW_INLINE Vec minus_half_bits(int32_t minuend, Vec x) {
  Vec4i bits;
  std::memcpy(&bits, &x.v, sizeof bits);
  bits = minuend - (bits >> 1);
  std::memcpy(&x.v, &bits, sizeof bits);
  return x;
}
#endif

// 1 / sqrt(x) within 1 unit in the last place or so, several times as fast as a square root and a division, and unlike
// the approximations of processors the same on all of them: three steps of Newton's method from a guess by the
// exponent. What is zero, infinite, NaN or so small that its half may be flushed to zero goes the long way.
NW_INLINE Vec inverse_root(Vec x) {
  const Vec one = broadcast(1.0f);
  if (__builtin_expect(!all_within(x, 0x1p-120f, 0x1.fffffep127f), 0)) return one / sqrt(x);
  const Vec half = broadcast(0.5f), three_halves = broadcast(1.5f), half_x = x * half;
  Vec y = minus_half_bits(0x5F375A86, x);
  y = y * fnma(half_x * y, y, three_halves);
  y = y * fnma(half_x * y, y, three_halves);
  return fma(y * half, fnma(x * y, y, one), y);
}

}  // namespace
}  // namespace noisewright::NOISEWRIGHT_TARGET

// One vector of float32 as wide as the target allows, and the elementary functions on it. Included only by kernel files
// (*_cpu.cpp), which are compiled once per target with NOISEWRIGHT_TARGET naming a namespace. Everything here has
// internal linkage: code made for one instruction set must never be shared with another.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

#include "core/dtype.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#ifndef NOISEWRIGHT_TARGET
#error "kernel files are compiled once per target, with NOISEWRIGHT_TARGET defined"
#endif

namespace noisewright::NOISEWRIGHT_TARGET {
namespace {

#define NW_INLINE inline __attribute__((always_inline))

// ----------------------------------------------------------------------------------------------------------------
// vector type

#if defined(__AVX512F__)
constexpr int kLanes = 16;
struct Vec {
  __m512 v;
};
NW_INLINE Vec broadcast(float x) { return {_mm512_set1_ps(x)}; }
NW_INLINE Vec zero() { return {_mm512_setzero_ps()}; }
NW_INLINE Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
NW_INLINE void store(float* p, Vec a) { _mm512_storeu_ps(p, a.v); }
NW_INLINE Vec operator+(Vec a, Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
NW_INLINE Vec operator-(Vec a, Vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
NW_INLINE Vec operator*(Vec a, Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
NW_INLINE Vec operator/(Vec a, Vec b) { return {_mm512_div_ps(a.v, b.v)}; }
NW_INLINE Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }    // a*b + c
NW_INLINE Vec fnma(Vec a, Vec b, Vec c) { return {_mm512_fnmadd_ps(a.v, b.v, c.v)}; }  // c - a*b
NW_INLINE Vec max(Vec a, Vec b) { return {_mm512_max_ps(a.v, b.v)}; }
NW_INLINE Vec min(Vec a, Vec b) { return {_mm512_min_ps(a.v, b.v)}; }
NW_INLINE Vec sqrt(Vec a) { return {_mm512_sqrt_ps(a.v)}; }
NW_INLINE Vec abs(Vec a) { return {_mm512_abs_ps(a.v)}; }
NW_INLINE Vec round(Vec a) { return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
// a < b ? x : y, lane by lane
NW_INLINE Vec select_less(Vec a, Vec b, Vec x, Vec y) {
  return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ), y.v, x.v)};
}
// x * 2^n for integral n in [-126, 127]
NW_INLINE Vec scale_by_power(Vec x, Vec n) {
  const __m512i e = _mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(n.v), _mm512_set1_epi32(127)), 23);
  return {_mm512_mul_ps(x.v, _mm512_castsi512_ps(e))};
}
NW_INLINE Vec load(const bfloat16* p) {
  const __m256i h = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16))};
}
NW_INLINE void store(bfloat16* p, Vec a) {  // round to nearest even; NaN stays NaN
  const __m512i bits = _mm512_castps_si512(a.v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  __m512i r = _mm512_srli_epi32(_mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF))), 16);
  r = _mm512_mask_mov_epi32(r, _mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q), _mm512_set1_epi32(0x7FC0));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(r));
}
NW_INLINE Vec load(const float16* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
NW_INLINE void store(float16* p, Vec a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                      _mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
NW_INLINE Vec load(const float8_e4m3fn* p) {
  const __m512i bits = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  const __m512i magnitude = _mm512_and_si512(bits, _mm512_set1_epi32(0x7F));
  const __m512i sign = _mm512_slli_epi32(_mm512_xor_si512(bits, magnitude), 24);
  __m512i r = _mm512_add_epi32(_mm512_slli_epi32(magnitude, 20), _mm512_set1_epi32(120 << 23));
  r = _mm512_mask_mov_epi32(r, _mm512_cmplt_epi32_mask(magnitude, _mm512_set1_epi32(8)),
                            _mm512_castps_si512(_mm512_mul_ps(_mm512_cvtepi32_ps(magnitude), _mm512_set1_ps(0x1p-9f))));
  r = _mm512_mask_mov_epi32(r, _mm512_cmpeq_epi32_mask(magnitude, _mm512_set1_epi32(0x7F)),
                            _mm512_set1_epi32(0x7FC00000));
  return {_mm512_castsi512_ps(_mm512_or_si512(r, sign))};
}

#elif defined(__AVX2__)
constexpr int kLanes = 8;
struct Vec {
  __m256 v;
};
NW_INLINE Vec broadcast(float x) { return {_mm256_set1_ps(x)}; }
NW_INLINE Vec zero() { return {_mm256_setzero_ps()}; }
NW_INLINE Vec load(const float* p) { return {_mm256_loadu_ps(p)}; }
NW_INLINE void store(float* p, Vec a) { _mm256_storeu_ps(p, a.v); }
NW_INLINE Vec operator+(Vec a, Vec b) { return {_mm256_add_ps(a.v, b.v)}; }
NW_INLINE Vec operator-(Vec a, Vec b) { return {_mm256_sub_ps(a.v, b.v)}; }
NW_INLINE Vec operator*(Vec a, Vec b) { return {_mm256_mul_ps(a.v, b.v)}; }
NW_INLINE Vec operator/(Vec a, Vec b) { return {_mm256_div_ps(a.v, b.v)}; }
NW_INLINE Vec fma(Vec a, Vec b, Vec c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
NW_INLINE Vec fnma(Vec a, Vec b, Vec c) { return {_mm256_fnmadd_ps(a.v, b.v, c.v)}; }
NW_INLINE Vec max(Vec a, Vec b) { return {_mm256_max_ps(a.v, b.v)}; }
NW_INLINE Vec min(Vec a, Vec b) { return {_mm256_min_ps(a.v, b.v)}; }
NW_INLINE Vec sqrt(Vec a) { return {_mm256_sqrt_ps(a.v)}; }
NW_INLINE Vec abs(Vec a) { return {_mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.v)}; }
NW_INLINE Vec round(Vec a) { return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
NW_INLINE Vec select_less(Vec a, Vec b, Vec x, Vec y) {
  return {_mm256_blendv_ps(y.v, x.v, _mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ))};
}
NW_INLINE Vec scale_by_power(Vec x, Vec n) {
  const __m256i e = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n.v), _mm256_set1_epi32(127)), 23);
  return {_mm256_mul_ps(x.v, _mm256_castsi256_ps(e))};
}
NW_INLINE Vec load(const bfloat16* p) {
  const __m128i h = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16))};
}
NW_INLINE void store(bfloat16* p, Vec a) {
  const __m256i bits = _mm256_castps_si256(a.v);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  __m256i r = _mm256_srli_epi32(_mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF))), 16);
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(a.v, a.v, _CMP_UNORD_Q));
  r = _mm256_blendv_epi8(r, _mm256_set1_epi32(0x7FC0), nan);
  const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(r, r), 0x08);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_castsi256_si128(packed));
}
NW_INLINE Vec load(const float16* p) { return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))}; }
NW_INLINE void store(float16* p, Vec a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
NW_INLINE Vec load(const float8_e4m3fn* p) {
  const __m256i bits = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
  const __m256i magnitude = _mm256_and_si256(bits, _mm256_set1_epi32(0x7F));
  const __m256i sign = _mm256_slli_epi32(_mm256_xor_si256(bits, magnitude), 24);
  __m256i r = _mm256_add_epi32(_mm256_slli_epi32(magnitude, 20), _mm256_set1_epi32(120 << 23));
  const __m256 subnormal = _mm256_mul_ps(_mm256_cvtepi32_ps(magnitude), _mm256_set1_ps(0x1p-9f));
  r = _mm256_blendv_epi8(r, _mm256_castps_si256(subnormal), _mm256_cmpgt_epi32(_mm256_set1_epi32(8), magnitude));
  r = _mm256_blendv_epi8(r, _mm256_set1_epi32(0x7FC00000), _mm256_cmpeq_epi32(magnitude, _mm256_set1_epi32(0x7F)));
  return {_mm256_castsi256_ps(_mm256_or_si256(r, sign))};
}

#else  // any machine: the compiler's own four-lane vectors
constexpr int kLanes = 4;
typedef float Vec4f __attribute__((vector_size(16)));
typedef int32_t Vec4i __attribute__((vector_size(16)));
struct Vec {
  Vec4f v;
};
NW_INLINE Vec broadcast(float x) { return {Vec4f{x, x, x, x}}; }
NW_INLINE Vec zero() { return broadcast(0.0f); }
NW_INLINE Vec load(const float* p) {
  Vec a;
  std::memcpy(&a.v, p, sizeof a.v);
  return a;
}
NW_INLINE void store(float* p, Vec a) { std::memcpy(p, &a.v, sizeof a.v); }
NW_INLINE Vec operator+(Vec a, Vec b) { return {a.v + b.v}; }
NW_INLINE Vec operator-(Vec a, Vec b) { return {a.v - b.v}; }
NW_INLINE Vec operator*(Vec a, Vec b) { return {a.v * b.v}; }
NW_INLINE Vec operator/(Vec a, Vec b) { return {a.v / b.v}; }
NW_INLINE Vec fma(Vec a, Vec b, Vec c) { return {a.v * b.v + c.v}; }
NW_INLINE Vec fnma(Vec a, Vec b, Vec c) { return {c.v - a.v * b.v}; }
NW_INLINE Vec max(Vec a, Vec b) { return {a.v > b.v ? a.v : b.v}; }
NW_INLINE Vec min(Vec a, Vec b) { return {a.v < b.v ? a.v : b.v}; }
NW_INLINE Vec sqrt(Vec a) {
  for (int i = 0; i < 4; i++) a.v[i] = __builtin_sqrtf(a.v[i]);
  return a;
}
NW_INLINE Vec abs(Vec a) { return {a.v < 0.0f ? -a.v : a.v}; }
NW_INLINE Vec round(Vec a) {  // |a| < 2^22
  const Vec4f magic = {12582912.0f, 12582912.0f, 12582912.0f, 12582912.0f};
  return {(a.v + magic) - magic};
}
NW_INLINE Vec select_less(Vec a, Vec b, Vec x, Vec y) { return {a.v < b.v ? x.v : y.v}; }
NW_INLINE Vec scale_by_power(Vec x, Vec n) {
  const Vec4i e = (__builtin_convertvector(n.v, Vec4i) + 127) << 23;
  Vec4f power;
  std::memcpy(&power, &e, sizeof power);
  return {x.v * power};
}
#endif

// ------------------------------------------------------------------------------------------------------- scalar
// conversions

NW_INLINE float to_float(float x) { return x; }
NW_INLINE float to_float(bfloat16 x) {
  const uint32_t bits = static_cast<uint32_t>(x.bits) << 16;
  float f;
  std::memcpy(&f, &bits, 4);
  return f;
}
NW_INLINE float to_float(float16 x) {
#if defined(__F16C__)
  return _cvtsh_ss(x.bits);
#else
  const uint32_t sign = static_cast<uint32_t>(x.bits & 0x8000) << 16, exponent = (x.bits >> 10) & 31,
                 fraction = x.bits & 1023;
  uint32_t bits;
  if (exponent == 0) {
    const float f = static_cast<float>(fraction) * 0x1p-24f;
    return sign ? -f : f;
  }
  bits = exponent == 31 ? sign | 0x7F800000 | (fraction << 13) : sign | ((exponent + 112) << 23) | (fraction << 13);
  float f;
  std::memcpy(&f, &bits, 4);
  return f;
#endif
}
NW_INLINE float to_float(float8_e4m3fn x) {
  const uint32_t sign = static_cast<uint32_t>(x.bits & 0x80) << 24, magnitude = x.bits & 0x7F;
  if (magnitude < 8) {
    const float f = static_cast<float>(magnitude) * 0x1p-9f;
    return sign ? -f : f;
  }
  const uint32_t bits = sign | (magnitude == 0x7F ? 0x7FC00000 : (magnitude << 20) + (120u << 23));
  float f;
  std::memcpy(&f, &bits, 4);
  return f;
}
template <class T>
NW_INLINE T from_float(float x);
template <>
NW_INLINE float from_float<float>(float x) {
  return x;
}
template <>
NW_INLINE bfloat16 from_float<bfloat16>(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  if ((bits & 0x7FFFFFFF) > 0x7F800000) return {0x7FC0};
  return {static_cast<uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16)};
}
template <>
NW_INLINE float16 from_float<float16>(float x) {
#if defined(__F16C__)
  return {static_cast<uint16_t>(_cvtss_sh(x, _MM_FROUND_TO_NEAREST_INT))};
#else
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  const uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000);
  bits &= 0x7FFFFFFF;
  if (bits > 0x7F800000) return {static_cast<uint16_t>(sign | 0x7E00)};
  if (bits >= 0x477FF000) return {static_cast<uint16_t>(sign | 0x7C00)};
  if (bits < 0x38800000) {  // subnormal: let the float adder do the rounding
    float f, magic = 0.5f;
    std::memcpy(&f, &bits, 4);
    f += magic;
    uint32_t r;
    std::memcpy(&r, &f, 4);
    return {static_cast<uint16_t>(sign | (r - 0x3F000000))};
  }
  return {static_cast<uint16_t>(sign | ((bits - 0x38000000 + 0xFFF + ((bits >> 13) & 1)) >> 13))};
#endif
}

template <>
NW_INLINE float8_e4m3fn from_float<float8_e4m3fn>(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  const uint32_t sign = (bits >> 24) & 0x80;
  bits &= 0x7FFFFFFF;
  if (bits > 0x43E00000) return {static_cast<uint8_t>(sign | (bits > 0x7F800000 ? 0x7F : 0x7E))};  // NaN, or beyond 448
  if (bits < 0x3C800000) {  // subnormal: the float adder rounds
    float f;
    std::memcpy(&f, &bits, 4);
    f += 0x1p14f;
    std::memcpy(&bits, &f, 4);
    return {static_cast<uint8_t>(sign | (bits - 0x46800000))};
  }
  return {static_cast<uint8_t>(sign | ((bits - (120u << 23) + 0x7FFFF + ((bits >> 20) & 1)) >> 20))};
}

#if !defined(__AVX2__)
NW_INLINE Vec load(const bfloat16* p) {
  Vec a;
  for (int i = 0; i < kLanes; i++) a.v[i] = to_float(p[i]);
  return a;
}
NW_INLINE void store(bfloat16* p, Vec a) {
  for (int i = 0; i < kLanes; i++) p[i] = from_float<bfloat16>(a.v[i]);
}
// Long, and used in many places: not inlined.
__attribute__((noinline)) Vec load(const float16* p) {
  Vec a;
  for (int i = 0; i < kLanes; i++) a.v[i] = to_float(p[i]);
  return a;
}
__attribute__((noinline)) void store(float16* p, Vec a) {
  for (int i = 0; i < kLanes; i++) p[i] = from_float<float16>(a.v[i]);
}
__attribute__((noinline)) Vec load(const float8_e4m3fn* p) {
  Vec a;
  for (int i = 0; i < kLanes; i++) a.v[i] = to_float(p[i]);
  return a;
}
#endif
// Only where files and casts make weights small: not for speed.
__attribute__((noinline)) void store(float8_e4m3fn* p, Vec a) {
  float values[kLanes];
  store(values, a);
  for (int i = 0; i < kLanes; i++) p[i] = from_float<float8_e4m3fn>(values[i]);
}

// The first n < kLanes elements; the others read as zero and are not written.
template <class T>
NW_INLINE Vec load_partial(const T* p, int64_t n) {
  T buffer[kLanes] = {};
  std::memcpy(buffer, p, static_cast<size_t>(n) * sizeof(T));
  return load(buffer);
}
template <class T>
NW_INLINE void store_partial(T* p, Vec a, int64_t n) {
  T buffer[kLanes];
  store(buffer, a);
  std::memcpy(p, buffer, static_cast<size_t>(n) * sizeof(T));
}
template <class T>
NW_INLINE Vec load_up_to(const T* p, int64_t n) {
  return n >= kLanes ? load(p) : load_partial(p, n);
}
template <class T>
NW_INLINE void store_up_to(T* p, Vec a, int64_t n) {
  if (n >= kLanes)
    store(p, a);
  else
    store_partial(p, a, n);
}

// --------------------------------------------------------------------------------------------------------------
// reductions

// Sums over lanes as a binary tree (8, 4, 2, 1): one fixed order for each width.
NW_INLINE float sum_lanes(Vec a) {
  float x[kLanes];
  store(x, a);
  for (int half = kLanes / 2; half > 0; half /= 2)
    for (int i = 0; i < half; i++) x[i] += x[i + half];
  return x[0];
}
NW_INLINE float max_lanes(Vec a) {
  float x[kLanes];
  store(x, a);
  for (int half = kLanes / 2; half > 0; half /= 2)
    for (int i = 0; i < half; i++) x[i] = x[i + half] > x[i] ? x[i + half] : x[i];
  return x[0];
}

// ----------------------------------------------------------------------------------------------------------------
// element types

// Chooses the code for an element type at run time: body is called with a null pointer of that type.
template <class Body>
NW_INLINE void with_float_type(DType dtype, Body&& body) {
  switch (dtype) {
    case DType::kBFloat16:
      body(static_cast<bfloat16*>(nullptr));
      break;
    case DType::kFloat16:
      body(static_cast<float16*>(nullptr));
      break;
    default:
      body(static_cast<float*>(nullptr));
      break;
  }
}

}  // namespace
}  // namespace noisewright::NOISEWRIGHT_TARGET

// Register tiles and packing for matrix products; for kernel files only. A tile multiplies up to kTileRows rows of A by
// one panel of B (one or two vectors wide) along K and keeps the sums in registers.
//
// Packed data is made of 32-bit words: float32 numbers, or, where the machine has bfloat16 dot products, pairs of
// neighbours along K.
//   B   [panel][word][width]                 width = kPanel, or kLanes when there are no more columns than that
//   A   [row][word] with any row stride, or  [row tile][word][kTileRows] when it comes from memory in which rows are
//   neighbours
#pragma once
#include "core/simd.h"

namespace noisewright::NOISEWRIGHT_TARGET {
namespace {

#if defined(__AVX512F__)
constexpr int kTileRows = 12;
#elif defined(__AVX2__)
constexpr int kTileRows = 6;
#else
constexpr int kTileRows = 4;
#endif
constexpr int kPanel = 2 * kLanes;
#if defined(__AVX512BF16__)
constexpr bool kHasDot = true;
#else
constexpr bool kHasDot = false;
#endif

NW_INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
NW_INLINE int64_t blocks_of(int64_t count, int64_t size) { return (count + size - 1) / size; }
NW_INLINE int64_t round_up(int64_t count, int64_t size) { return blocks_of(count, size) * size; }

// a*b + c; with dot, lanes are pairs of bfloat16 and both products are added.
template <bool dot>
NW_INLINE Vec multiply_add(Vec a, Vec b, Vec c) {
#if defined(__AVX512BF16__)
  if constexpr (dot) return {_mm512_dpbf16_ps(c.v, (__m512bh)a.v, (__m512bh)b.v)};
#endif
  return fma(a, b, c);
}

// c[R, V vectors] = (accumulate ? c : 0) + a[R, words] b[words, V vectors]; the sum starts from zero, so that blocks of
// K are added as wholes and errors grow with the length of a block. Row r of A starts at a + r * a_stride; with
// k_major, word k of row r is a[k * kTileRows + r] instead.
template <int R, int V, bool dot, bool k_major>
__attribute__((noinline)) void tile(const float* a, int64_t a_stride, const float* b, float* c, int64_t c_stride,
                                    int64_t words, bool accumulate) {
  Vec sum[R][V];
#pragma GCC unroll 12
  for (int r = 0; r < R; r++)
#pragma GCC unroll 2
    for (int v = 0; v < V; v++) sum[r][v] = zero();
  // One pointer for three rows: the other two are reached by the address modes.
  const float* rows[(R + 2) / 3];
#pragma GCC unroll 4
  for (int i = 0; i < (R + 2) / 3; i++) rows[i] = a + 3 * i * a_stride;
  for (int64_t k = 0; k < words; k++) {
    Vec column[V];
#pragma GCC unroll 2
    for (int v = 0; v < V; v++) column[v] = load(b + v * kLanes);
#pragma GCC unroll 12
    for (int r = 0; r < R; r++) {
      const Vec x = broadcast(k_major ? a[r] : rows[r / 3][(r % 3) * a_stride]);
#pragma GCC unroll 2
      for (int v = 0; v < V; v++) sum[r][v] = multiply_add<dot>(x, column[v], sum[r][v]);
    }
    b += V * kLanes;
    if constexpr (k_major) {
      a += kTileRows;
    } else {
#pragma GCC unroll 4
      for (int i = 0; i < (R + 2) / 3; i++) rows[i]++;
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < R; r++)
#pragma GCC unroll 2
    for (int v = 0; v < V; v++) {
      float* to = c + r * c_stride + v * kLanes;
      store(to, accumulate ? load(to) + sum[r][v] : sum[r][v]);
    }
}

// The smallest tile that holds `rows` rows (1 to kTileRows); A and C must have memory for the rows it adds.
template <int V, bool dot>
inline void tile_of_rows(int64_t rows, const float* a, int64_t a_stride, const float* b, float* c, int64_t c_stride,
                         int64_t words, bool accumulate) {
#if defined(__AVX512F__)
  if (rows > 8) return tile<12, V, dot, false>(a, a_stride, b, c, c_stride, words, accumulate);
  if (rows > 4) return tile<8, V, dot, false>(a, a_stride, b, c, c_stride, words, accumulate);
#elif defined(__AVX2__)
  if (rows > 4) return tile<6, V, dot, false>(a, a_stride, b, c, c_stride, words, accumulate);
#endif
  if (rows > 2) return tile<4, V, dot, false>(a, a_stride, b, c, c_stride, words, accumulate);
  if (rows > 1) return tile<2, V, dot, false>(a, a_stride, b, c, c_stride, words, accumulate);
  return tile<1, V, dot, false>(a, a_stride, b, c, c_stride, words, accumulate);
}

// ------------------------------------------------------------------------------------------------------------------
// packing

// Rows become columns.
NW_INLINE void transpose(Vec (&r)[kLanes]) {
#if defined(__AVX512F__)
  __m512 t[16], u[16];
  for (int i = 0; i < 8; i++) {
    t[2 * i] = _mm512_unpacklo_ps(r[2 * i].v, r[2 * i + 1].v);
    t[2 * i + 1] = _mm512_unpackhi_ps(r[2 * i].v, r[2 * i + 1].v);
  }
  for (int i = 0; i < 16; i += 4)
    for (int j = 0; j < 2; j++) {
      const __m512d low = _mm512_castps_pd(t[i + j]), high = _mm512_castps_pd(t[i + j + 2]);
      u[i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(low, high));
      u[i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low, high));
    }
  for (int j = 0; j < 4; j++) {
    const __m512 first = _mm512_shuffle_f32x4(u[j], u[4 + j], 0x44),
                 second = _mm512_shuffle_f32x4(u[j], u[4 + j], 0xEE);
    const __m512 third = _mm512_shuffle_f32x4(u[8 + j], u[12 + j], 0x44),
                 fourth = _mm512_shuffle_f32x4(u[8 + j], u[12 + j], 0xEE);
    r[j].v = _mm512_shuffle_f32x4(first, third, 0x88);
    r[4 + j].v = _mm512_shuffle_f32x4(first, third, 0xDD);
    r[8 + j].v = _mm512_shuffle_f32x4(second, fourth, 0x88);
    r[12 + j].v = _mm512_shuffle_f32x4(second, fourth, 0xDD);
  }
#elif defined(__AVX2__)
  __m256 t[8], u[8];
  for (int i = 0; i < 4; i++) {
    t[2 * i] = _mm256_unpacklo_ps(r[2 * i].v, r[2 * i + 1].v);
    t[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i].v, r[2 * i + 1].v);
  }
  for (int i = 0; i < 8; i += 4)
    for (int j = 0; j < 2; j++) {
      const __m256d low = _mm256_castps_pd(t[i + j]), high = _mm256_castps_pd(t[i + j + 2]);
      u[i + 2 * j] = _mm256_castpd_ps(_mm256_unpacklo_pd(low, high));
      u[i + 2 * j + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(low, high));
    }
  for (int j = 0; j < 4; j++) {
    r[j].v = _mm256_permute2f128_ps(u[j], u[4 + j], 0x20);
    r[4 + j].v = _mm256_permute2f128_ps(u[j], u[4 + j], 0x31);
  }
#else
  float x[kLanes][kLanes];
  for (int i = 0; i < kLanes; i++) store(x[i], r[i]);
  for (int i = 0; i < kLanes; i++) {
    float column[kLanes];
    for (int j = 0; j < kLanes; j++) column[j] = x[j][i];
    r[i] = load(column);
  }
#endif
}

// How memory becomes words: as it is (float32, or bfloat16 pairs that already are neighbours), or 16-bit floats widened
// to float32.
struct RawWords {
  static constexpr int kBytes = 4;
  static NW_INLINE Vec get(const char* p, int64_t n) { return load_up_to(reinterpret_cast<const float*>(p), n); }
};
template <class T>
struct WidenedWords {
  static constexpr int kBytes = 2;
  static NW_INLINE Vec get(const char* p, int64_t n) { return load_up_to(reinterpret_cast<const T*>(p), n); }
};

// to[words][width], columns `first` to first + kLanes: up to kLanes lines, each contiguous along K; lines that are null
// are zero.
template <class Source>
inline void pack_lines(const void* const* lines, int64_t words, float* to, int64_t width) {
  for (int64_t k = 0; k < words; k += kLanes) {
    const int64_t n = least(words - k, kLanes);
    Vec block[kLanes];
    for (int i = 0; i < kLanes; i++)
      block[i] = lines[i] ? Source::get(static_cast<const char*>(lines[i]) + k * Source::kBytes, n) : zero();
    transpose(block);
    for (int64_t i = 0; i < n; i++) store(to + (k + i) * width, block[i]);
  }
}

// One word of `count` neighbouring lines into panels of W: panel p gets to[p * panel_stride ..][0, W), zero past the
// last line.
template <int W, class Get>
inline void pack_across(int64_t count, float* to, int64_t panel_stride, Get&& get) {
  constexpr int kVectors = (W + kLanes - 1) / kLanes;
  for (int64_t first = 0; first < count; first += W, to += panel_stride) {
    float buffer[kVectors * kLanes];
    for (int v = 0; v < kVectors; v++) {
      const int64_t n = least(count - first - v * kLanes, kLanes);
      const Vec x = n > 0 ? get(first + v * kLanes, n) : zero();
      if constexpr (W % kLanes == 0)
        store(to + v * kLanes, x);
      else
        store(buffer + v * kLanes, x);
    }
    if constexpr (W % kLanes != 0) {
      if (count - first < W)  // what was loaded beyond the last line
        for (int64_t i = count - first; i < W; i++) buffer[i] = 0;
      std::memcpy(to, buffer, W * sizeof(float));
    }
  }
}

#if defined(__AVX512BF16__)
// Neighbours along K in two rows, made into pairs.
NW_INLINE Vec pair_words(const bfloat16* even, const bfloat16* odd, int64_t n) {
  const __mmask16 mask = static_cast<__mmask16>(n >= 16 ? 0xFFFF : (1 << n) - 1);
  const __m512i low = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, even));
  const __m512i high = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, odd));
  return {_mm512_castsi512_ps(_mm512_or_si512(low, _mm512_slli_epi32(high, 16)))};
}
#endif

}  // namespace
}  // namespace noisewright::NOISEWRIGHT_TARGET

// What the forward and the backward kernels share: packed operands, one register tile for all matrix products, and the
// exponential.
//
// Scores are held transposed, one row for each key and one lane for each query of a group: maxima and sums over keys
// are then plain vector operations, no head size needs padding in the products, and both products of the forward pass
// have the same form,
//   C[row][lane] += A[depth][row] * B[depth][lane]  with A broadcast element by element.
// Two packed forms serve all seven operands:
//   panels  [tokens / kGroup][size][kGroup]   tokens side by side; as A (rows are tokens) or as B (lanes are tokens)
//   rows    [slabs][tokens][channels]          as A (rows are channels) or as B (lanes are channels)
// With bfloat16 dot-product instructions an element of A or B is a pair of neighbours along the depth, else one
// float32: 32 bits either way, so that both share the code. Included by kernel files only, after core/simd.h.
#pragma once
#include "ops/attention/attention_product.h"

namespace noisewright::NOISEWRIGHT_TARGET {

namespace {

// scores[key][query] for keys [first, first + count) of the panels against one panel of queries. first is a multiple of
// kGroup.
template <class Math>
inline void score(const typename Math::Unit* key_panels, int64_t first, int64_t count,
                  const typename Math::Unit* query_panel, int64_t size, float* scores, float* maximum) {
  const int64_t depth = size / Math::kDepth;
  for (int64_t i = 0; i < count; i += kGroup)
    multiply<Math, 2, 0>(count - i < kGroup ? count - i : kGroup,
                         {key_panels + (first + i) * depth, kGroup, query_panel, kGroup, scores + i * kGroup, kGroup,
                          depth, false, nullptr, maximum});
}

// -----------------------------------------------------------------------------------------------------------------
// exponential

// 2^x for x <= 0; exactly 0 far below. Minimax polynomials for 2^f on [-0.5, 0.5]: relative error 2.1e-7, or 2.7e-6
// where the result is rounded to bfloat16 anyway.
template <class Math>
NW_INLINE Vec exp2_of_negative(Vec x) {
#if defined(__AVX512F__)
  x = max(broadcast(-200.0f), x);  // this order lets NaN through
#else
  x = max(broadcast(-127.0f), x);  // 2^-127 has the bits of zero in scale_by_power
#endif
  const Vec n = round(x);
  const Vec f = x - n;
  Vec p;
  if constexpr (Math::kDepth == 1) {
    p = fma(broadcast(0.00132764713f), f, broadcast(0.00967554189f));
    p = fma(p, f, broadcast(0.0555071309f));
    p = fma(p, f, broadcast(0.240221202f));
    p = fma(p, f, broadcast(0.693146944f));
    p = fma(p, f, broadcast(1.00000012f));
  } else {
    p = fma(broadcast(0.0095701013f), f, broadcast(0.055917863f));
    p = fma(p, f, broadcast(0.24024744f));
    p = fma(p, f, broadcast(0.69312179f));
    p = fma(p, f, broadcast(0.99999928f));
  }
#if defined(__AVX512F__)
  return {_mm512_scalef_ps(p.v, n.v)};
#else
  return scale_by_power(p, n);
#endif
}

constexpr float kLog2E = 1.44269504f, kLn2 = 0.693147181f;
constexpr float kMasked = -3e38f;  // the score of a key that a query must not see
constexpr float kNoMaximum =
    -1e30f;  // so far below every score, and so far above kMasked, that differences vanish in 2^x

// Masks the scores of keys [first_key, first_key + count) for the queries from first_query on: key j is visible to
// query i when j <= i + offset.
NW_INLINE void mask_scores(float* scores, int64_t first_key, int64_t count, int64_t first_query, int64_t offset) {
  for (int64_t key = 0; key < count; key++)
    for (int64_t lane = 0; lane < kGroup; lane++)
      if (first_key + key > first_query + lane + offset) scores[key * kGroup + lane] = kMasked;
}

// ------------------------------------------------------------------------------------------------------------- blocks
// of 8 by 8

#if defined(__AVX2__)
using Row8 = __m256;
NW_INLINE Row8 zero8() { return _mm256_setzero_ps(); }
NW_INLINE Row8 load8(const float* p) { return _mm256_loadu_ps(p); }
NW_INLINE Row8 load8(const bfloat16* p) {
  const __m128i h = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}
NW_INLINE Row8 load8(const float16* p) { return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))); }
NW_INLINE void store8(float* p, Row8 a) { _mm256_storeu_ps(p, a); }
NW_INLINE void store8(float16* p, Row8 a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
NW_INLINE void store8(bfloat16* p, Row8 a) {
  const __m256i bits = _mm256_castps_si256(a);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  __m256i r = _mm256_srli_epi32(_mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF))), 16);
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(a, a, _CMP_UNORD_Q));
  r = _mm256_blendv_epi8(r, _mm256_set1_epi32(0x7FC0), nan);
  const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(r, r), 0x08);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_castsi256_si128(packed));
}
NW_INLINE Row8 times8(Row8 a, Row8 b) { return _mm256_mul_ps(a, b); }
NW_INLINE void transpose8(Row8 (&r)[8]) {
  __m256 a[8], b[8];
  for (int i = 0; i < 8; i += 2) {
    a[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
    a[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
  }
  for (int i = 0; i < 8; i += 4) {
    b[i] = _mm256_shuffle_ps(a[i], a[i + 2], 0x44);
    b[i + 1] = _mm256_shuffle_ps(a[i], a[i + 2], 0xEE);
    b[i + 2] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0x44);
    b[i + 3] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0xEE);
  }
  for (int i = 0; i < 4; i++) {
    r[i] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x20);
    r[i + 4] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x31);
  }
}
#else
struct Row8 {
  float x[8];
};
NW_INLINE Row8 zero8() { return {}; }
template <class T>
NW_INLINE Row8 load8(const T* p) {
  Row8 a;
  for (int i = 0; i < 8; i++) a.x[i] = to_float(p[i]);
  return a;
}
template <class T>
NW_INLINE void store8(T* p, Row8 a) {
  for (int i = 0; i < 8; i++) p[i] = from_float<T>(a.x[i]);
}
NW_INLINE Row8 times8(Row8 a, Row8 b) {
  for (int i = 0; i < 8; i++) a.x[i] *= b.x[i];
  return a;
}
NW_INLINE void transpose8(Row8 (&r)[8]) {
  for (int i = 0; i < 8; i++)
    for (int j = 0; j < i; j++) {
      const float x = r[i].x[j];
      r[i].x[j] = r[j].x[i];
      r[j].x[i] = x;
    }
}
#endif

// ---------------------------------------------------------------------------------------------------------------------
// packing

NW_INLINE int64_t round_up(int64_t x, int64_t step) { return (x + step - 1) / step * step; }

// Channels up to the end of a head: `left` is a multiple of 8, what lies beyond reads as zero and is not written.
template <class T>
NW_INLINE Vec load_channels(const T* p, [[maybe_unused]] int64_t left) {
#if defined(__AVX512F__)
  if (left < kLanes) return {_mm512_zextps256_ps512(load8(p))};
#endif
  return load(p);
}
template <class T>
NW_INLINE void store_channels(T* p, Vec a, [[maybe_unused]] int64_t left) {
#if defined(__AVX512F__)
  if (left < kLanes) return store8(p, _mm512_castps512_ps256(a.v));
#endif
  store(p, a);
}

// Asks for the channels of tokens [0, count) of a head: heads lie interleaved in memory, in pieces that no hardware
// prefetcher follows.
template <class T>
NW_INLINE void prefetch_tokens(const T* x, int64_t token_stride, int64_t count, int64_t size) {
  for (int64_t token = 0; token < count; token++)
    for (int64_t channel = 0; channel < size; channel += 64 / static_cast<int64_t>(sizeof(T)))
      __builtin_prefetch(x + token * token_stride + channel, 0, 2);
}

// Units of the packed forms, for one head. `tokens` is a multiple of kGroup.
template <class Math>
NW_INLINE int64_t panels_length(int64_t tokens, int64_t size) {
  return tokens * (size / Math::kDepth);
}
template <class Math>
NW_INLINE int64_t rows_length(int64_t tokens, int64_t size) {
  return tokens / Math::kDepth * round_up(size, kLanes);
}

// Rows of a wide head are cut into slabs of channels, one after another: rows a power of two apart would share a few
// sets of the first-level cache. body(channel, width): the slab that starts at `channel`.
template <class Body>
NW_INLINE void for_slabs(int64_t size, Body&& body) {
  const int64_t padded = round_up(size, kLanes), slab = size % 80 == 0 ? 80 : padded <= 80 ? padded : 64;
  for (int64_t channel = 0; channel < padded; channel += slab)
    body(channel, slab < padded - channel ? slab : padded - channel);
}
// Where row `token` of the slab lies among the rows of `tokens` tokens. The next depth is `width` units on.
template <class Math, class Unit>
NW_INLINE Unit* slab_row(Unit* rows, int64_t tokens, int64_t token, int64_t channel, int64_t width) {
  return rows + channel * (tokens / Math::kDepth) + token / Math::kDepth * width;
}

// Panel of tokens [0, count) of x, count <= kGroup; the lanes of absent tokens are zero.
template <class T>
inline void pack_panel(const T* x, int64_t token_stride, int64_t count, int64_t size, float* panel) {
  for (int64_t lane = 0; lane < kGroup; lane += 8)
    for (int64_t channel = 0; channel < size; channel += 8) {
      Row8 block[8];
      for (int i = 0; i < 8; i++)
        block[i] = lane + i < count ? load8(x + (lane + i) * token_stride + channel) : zero8();
      transpose8(block);
      for (int i = 0; i < 8; i++) store8(panel + (channel + i) * kGroup + lane, block[i]);
    }
}

// Tokens [0, count) of x become rows [first, first + count) among those of `tokens` tokens; channels beyond size are
// zero, and so are rows up to a multiple of kGroup.
template <class T>
inline void pack_rows(const T* x, int64_t token_stride, int64_t count, int64_t size, float* rows, int64_t tokens,
                      int64_t first) {
  for_slabs(size, [&](int64_t slab, int64_t width) {
    float* y = slab_row<Float32Math>(rows, tokens, first, slab, width);
    for (int64_t token = 0; token < round_up(count, kGroup); token++)
      for (int64_t i = 0; i < width; i += kLanes) {
        const int64_t left = size - slab - i;
        store(y + token * width + i,
              token < count && left > 0 ? load_channels(x + token * token_stride + slab + i, left) : zero());
      }
  });
}

#if defined(__AVX512BF16__)
inline void pack_panel(const bfloat16* x, int64_t token_stride, int64_t count, int64_t size, Bfloat16Pair* panel) {
  const int64_t depth = size / 2;  // a multiple of 4
  for (int64_t lane = 0; lane < kGroup; lane += 8)
    for (int64_t unit = 0; unit < depth; unit += 8) {
      Row8 block[8];
      const bool whole = unit + 8 <= depth;
      for (int i = 0; i < 8; i++) {
        const bfloat16* p = x + (lane + i) * token_stride + 2 * unit;
        if (lane + i >= count)
          block[i] = zero8();
        else if (whole)
          block[i] = load8(reinterpret_cast<const float*>(p));
        else
          block[i] = _mm256_zextps128_ps256(_mm_loadu_ps(reinterpret_cast<const float*>(p)));
      }
      transpose8(block);
      for (int i = 0; i < (whole ? 8 : 4); i++)
        store8(reinterpret_cast<float*>(panel + (unit + i) * kGroup + lane), block[i]);
    }
}

// (even, odd) tokens side by side: word i of the result is even[i] and odd[i].
NW_INLINE void pack_pairs(__m256i even, __m256i odd, Bfloat16Pair* y) {
  const __m512i low = _mm512_cvtepu16_epi32(even), high = _mm512_slli_epi32(_mm512_cvtepu16_epi32(odd), 16);
  _mm512_storeu_si512(y, _mm512_or_si512(low, high));
}

inline void pack_rows(const bfloat16* x, int64_t token_stride, int64_t count, int64_t size, Bfloat16Pair* rows,
                      int64_t tokens, int64_t first) {
  const auto part = [&](int64_t token, int64_t channel) {  // sizes are multiples of 8
    const auto* p = reinterpret_cast<const __m128i*>(x + token * token_stride + channel);
    if (token >= count || channel >= size) return _mm256_setzero_si256();
    if (channel + 16 <= size) return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return _mm256_zextsi128_si256(_mm_loadu_si128(p));
  };
  for_slabs(size, [&](int64_t slab, int64_t width) {
    Bfloat16Pair* y = slab_row<PairMath>(rows, tokens, first, slab, width);
    for (int64_t token = 0; token < round_up(count, kGroup); token += 2)
      for (int64_t i = 0; i < width; i += kLanes)
        pack_pairs(part(token, slab + i), part(token + 1, slab + i), y + token / 2 * width + i);
  });
}

NW_INLINE __m512i round_pair(Vec low, Vec high) {  // 32 bfloat16, those of low first
  return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high.v, low.v));
}
// Word i: (even[i], odd[i]) rounded to bfloat16.
NW_INLINE void store_pairs(Bfloat16Pair* y, Vec even, Vec odd) {
  alignas(64) static constexpr int16_t kOrder[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                                     8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  _mm512_storeu_si512(y, _mm512_permutexvar_epi16(_mm512_load_si512(kOrder), round_pair(even, odd)));
}
#endif

// sums[channel][lane] = factor[lane] * sums + over tokens [first, first + count): rows[token][channel] *
// weights[token][lane]. Without a factor nothing is multiplied; without `accumulate` sums are overwritten.
template <class Math>
inline void add_weighted_tokens(const typename Math::Unit* rows, int64_t tokens, int64_t first, int64_t count,
                                int64_t size, const typename Math::Unit* weights, float* sums, bool accumulate,
                                const float* factor) {
  for_slabs(size, [&](int64_t slab, int64_t width) {
    multiply<Math, 2, 0>(
        size - slab < width ? size - slab : width,
        {slab_row<Math>(rows, tokens, first, slab, width), width, weights, kGroup, sums + slab * kGroup, kGroup,
         (count + Math::kDepth - 1) / Math::kDepth, accumulate, factor, nullptr});
  });
}

// A panel of sums [size][kGroup] back to tokens [0, count) of y, each lane multiplied by its factor.
template <class T>
inline void unpack_panel(const float* panel, const float* factor, T* y, int64_t token_stride, int64_t count,
                         int64_t size) {
  for (int64_t lane = 0; lane < count; lane += 8) {
    const Row8 scale = load8(factor + lane);
    for (int64_t channel = 0; channel < size; channel += 8) {
      Row8 block[8];
      for (int i = 0; i < 8; i++) block[i] = times8(load8(panel + (channel + i) * kGroup + lane), scale);
      transpose8(block);
      for (int i = 0; i < 8 && lane + i < count; i++) store8(y + (lane + i) * token_stride + channel, block[i]);
    }
  }
}

}  // namespace

}  // namespace noisewright::NOISEWRIGHT_TARGET

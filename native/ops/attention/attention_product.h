// The matrix product that all of attention is made of: see attention_tile.h, which includes it.
#pragma once

namespace noisewright::NOISEWRIGHT_TARGET {

namespace {

constexpr int kGroup = 2 * kLanes;  // tokens of a panel

// -------------------------------------------------------------------------------------------------------
// multiply-accumulate

struct Float32Math {
  using Unit = float;
  using Vector = Vec;
  static constexpr int kDepth = 1;  // elements of a unit
  static NW_INLINE Vector vector(const Unit* p) { return load(p); }
  static NW_INLINE Vector constant(const Unit* p) { return broadcast(*p); }
  static NW_INLINE Vec multiply_add(Vector a, Vector b, Vec c) { return fma(a, b, c); }
};

#if defined(__AVX512BF16__)
struct Bfloat16Pair {
  bfloat16 even, odd;
};

struct PairMath {
  using Unit = Bfloat16Pair;
  using Vector = __m512i;
  static constexpr int kDepth = 2;
  static NW_INLINE Vector vector(const Unit* p) { return _mm512_loadu_si512(p); }
  static NW_INLINE Vector constant(const Unit* p) {
    int32_t bits;
    std::memcpy(&bits, p, 4);
    return _mm512_set1_epi32(bits);
  }
  static NW_INLINE Vec multiply_add(Vector a, Vector b, Vec c) {
    return {_mm512_dpbf16_ps(c.v, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b))};
  }
};
#endif

// The arithmetic for tensors of type T.
template <class T>
struct MathFor {
  using Type = Float32Math;
};
#if defined(__AVX512BF16__)
template <>
struct MathFor<bfloat16> {
  using Type = PairMath;
};
#endif

// ---------------------------------------------------------------------------------------------------------------
// register tile

// Most rows of a tile that is `vectors` wide: what the register file holds beside the operands.
constexpr int most_rows(int vectors) {
#if defined(__AVX512F__)
  return vectors == 3 ? 9 : 14;
#else
  return vectors == 3 ? 4 : 6;
#endif
}

template <class Math>
struct Product {
  const typename Math::Unit* a;
  int64_t
      a_stride;  // between depths; a row apart is 1 unit. With row_stride > 0: rows are that far apart, depths 1 unit.
  const typename Math::Unit* b;
  int64_t b_stride;
  float* c;
  int64_t c_stride;
  int64_t depth;        // in units
  bool accumulate;      // else c is overwritten
  const float* factor;  // c is first multiplied by it, lane by lane; or null
  float* maximum;       // raised to the largest value of each lane; or null
};

template <class Math, int rows, int vectors, int row_stride>
__attribute__((noinline)) void tile(const Product<Math>& p) {
  Vec c[rows][vectors];
  if (!p.accumulate) {
#pragma GCC unroll 14
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 3
      for (int v = 0; v < vectors; v++) c[r][v] = zero();
  } else {
#pragma GCC unroll 14
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 3
      for (int v = 0; v < vectors; v++) c[r][v] = load(p.c + r * p.c_stride + v * kLanes);
    if (p.factor) {
#pragma GCC unroll 3
      for (int v = 0; v < vectors; v++) {
        const Vec factor = load(p.factor + v * kLanes);
#pragma GCC unroll 14
        for (int r = 0; r < rows; r++) c[r][v] = c[r][v] * factor;
      }
    }
  }
  const auto* a = p.a;
  const auto* b = p.b;
  const int64_t a_step = row_stride > 0 ? 1 : p.a_stride, b_step = p.b_stride;
  constexpr int kRow = row_stride > 0 ? row_stride : 1;
  for (int64_t k = p.depth; k > 0; k--, a += a_step, b += b_step) {
    typename Math::Vector w[vectors];
#pragma GCC unroll 3
    for (int v = 0; v < vectors; v++) w[v] = Math::vector(b + v * kLanes);
#pragma GCC unroll 14
    for (int r = 0; r < rows; r++) {
      const auto x = Math::constant(a + r * kRow);
#pragma GCC unroll 3
      for (int v = 0; v < vectors; v++) c[r][v] = Math::multiply_add(x, w[v], c[r][v]);
    }
  }
#pragma GCC unroll 14
  for (int r = 0; r < rows; r++)
#pragma GCC unroll 3
    for (int v = 0; v < vectors; v++) store(p.c + r * p.c_stride + v * kLanes, c[r][v]);
  if (p.maximum) {
#pragma GCC unroll 3
    for (int v = 0; v < vectors; v++) {
      Vec m = load(p.maximum + v * kLanes);
#pragma GCC unroll 14
      for (int r = 0; r < rows; r++) m = max(m, c[r][v]);
      store(p.maximum + v * kLanes, m);
    }
  }
}

template <class Math, int vectors, int row_stride, int rows>
NW_INLINE void tile_of(int64_t count, const Product<Math>& p) {
  if constexpr (rows > 0) {
    if (count == rows) return tile<Math, rows, vectors, row_stride>(p);
    tile_of<Math, vectors, row_stride, rows - 1>(count, p);
  }
}

// The whole product of `rows` rows, in tiles of nearly equal height. Every element is summed in the order of the depth.
template <class Math, int vectors, int row_stride>
inline void multiply(int64_t rows, Product<Math> p) {
  constexpr int kMost = most_rows(vectors);
  for (int64_t tiles = (rows + kMost - 1) / kMost; tiles > 0; tiles--) {
    const int64_t height = (rows + tiles - 1) / tiles;
    tile_of<Math, vectors, row_stride, kMost>(height, p);
    p.a += height * (row_stride > 0 ? row_stride : 1);
    p.c += height * p.c_stride;
    rows -= height;
  }
}

}  // namespace

}  // namespace noisewright::NOISEWRIGHT_TARGET

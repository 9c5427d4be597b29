// Rows that are contiguous on both sides are copied as bytes; where x is contiguous along another axis, the two axes
// are walked in square tiles, so that both sides use whole cache lines; anything else is gathered element by element.
#include "ops/contiguous/contiguous.h"

#include "core/parallel.h"
#include "core/simd.h"

namespace noisewright::NOISEWRIGHT_TARGET {

namespace {

constexpr int64_t kTaskBytes = 65536;

struct Place {
  int64_t x, y;
};

// Offsets of outer position `index` of the axes [0, axes), but for `skip`, which stays at 0.
NW_INLINE Place place_of(const CopyParams& p, int64_t index, int axes, int skip) {
  Place at{0, 0};
  for (int axis = axes - 1; axis >= 0; axis--) {
    if (axis == skip) continue;
    at.x += index % p.shape[axis] * p.x_strides[axis];
    at.y += index % p.shape[axis] * p.y_strides[axis];
    index /= p.shape[axis];
  }
  return at;
}

template <class T>
void copy_rows(const CopyParams& p) {
  const auto* x = static_cast<const T*>(p.x);
  auto* y = static_cast<T*>(p.y);
  const int64_t inner = p.shape[5], stride = p.x_strides[5];
  const int64_t rows = p.shape[0] * p.shape[1] * p.shape[2] * p.shape[3] * p.shape[4];
  constexpr int64_t kPiece = kTaskBytes / static_cast<int64_t>(sizeof(T));
  const int64_t pieces = (inner + kPiece - 1) / kPiece, per_task = pieces > 1 ? 1 : (kPiece + inner - 1) / inner;
  parallel_chunks(rows * pieces, per_task, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; task++) {
      const Place at = place_of(p, task / pieces, 5, -1);
      const int64_t first = task % pieces * kPiece, n = kPiece < inner - first ? kPiece : inner - first;
      const T* from = x + at.x + first * stride;
      T* to = y + at.y + first;
      if (stride == 1) {
        std::memcpy(to, from, static_cast<size_t>(n) * sizeof(T));
      } else if (stride == 0) {
        const T value = *from;
        for (int64_t i = 0; i < n; i++) to[i] = value;
      } else {
        for (int64_t i = 0; i < n; i++) to[i] = from[i * stride];
      }
    }
  });
}

// x is contiguous along `axis`, y along the last one.
template <class T>
void copy_tiles(const CopyParams& p, int axis) {
  const auto* x = static_cast<const T*>(p.x);
  auto* y = static_cast<T*>(p.y);
  constexpr int64_t kTile = 64 / static_cast<int64_t>(sizeof(T)) < 16 ? 16 : 64 / static_cast<int64_t>(sizeof(T));
  constexpr int64_t kWidth = 4 * kTile;  // longer runs in y, whose rows are often a power of two apart
  const int64_t rows = p.shape[axis], columns = p.shape[5];
  const int64_t row_tiles = (rows + kTile - 1) / kTile, column_tiles = (columns + kWidth - 1) / kWidth;
  int64_t outer = 1;
  for (int i = 0; i < 5; i++)
    if (i != axis) outer *= p.shape[i];
  const int64_t per_task = (kTaskBytes / static_cast<int64_t>(sizeof(T)) + kTile * kWidth - 1) / (kTile * kWidth);
  // Tiles that follow each other share the rows of y, which is written in longer runs.
  parallel_chunks(outer * row_tiles * column_tiles, per_task, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; task++) {
      const Place at = place_of(p, task / (row_tiles * column_tiles), 5, axis);
      const int64_t r0 = task / column_tiles % row_tiles * kTile, c0 = task % column_tiles * kWidth;
      const int64_t r1 = r0 + kTile < rows ? r0 + kTile : rows, c1 = c0 + kWidth < columns ? c0 + kWidth : columns;
      T tile[kTile * kWidth];
      for (int64_t c = c0; c < c1; c++) {
        const T* from = x + at.x + c * p.x_strides[5];
        for (int64_t r = r0; r < r1; r++) tile[(r - r0) * kWidth + c - c0] = from[r];
      }
      for (int64_t r = r0; r < r1; r++)
        std::memcpy(y + at.y + r * p.y_strides[axis] + c0, tile + (r - r0) * kWidth,
                    static_cast<size_t>(c1 - c0) * sizeof(T));
    }
  });
}

template <class T>
void copy_typed(const CopyParams& p) {
  if (p.x_strides[5] > 1 && p.shape[5] > 1)
    for (int axis = 4; axis >= 0; axis--)
      if (p.x_strides[axis] == 1 && p.shape[axis] > 3) return copy_tiles<T>(p, axis);
  copy_rows<T>(p);
}

}  // namespace

void copy_strided(const CopyParams& p) {
  switch (p.item) {
    case 1:
      return copy_typed<uint8_t>(p);
    case 2:
      return copy_typed<uint16_t>(p);
    case 4:
      return copy_typed<uint32_t>(p);
    default:
      return copy_typed<uint64_t>(p);
  }
}

}  // namespace noisewright::NOISEWRIGHT_TARGET

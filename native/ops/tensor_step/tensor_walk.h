// How the rules of tensor_step go through a tensor: by blocks, which are rows of a sheet [rows, columns, inner] of a
// factored tensor, or a run of elements of any other. Included by its kernel file alone.
#pragma once
#include "core/parallel.h"
#include "core/rows.h"
#include "core/simd.h"
#include "core/stepped_param.h"
#include "ops/tensor_step/tensor_step.h"

namespace noisewright::NOISEWRIGHT_TARGET {
namespace {

// The first n lanes; zero in the others.
NW_INLINE Vec masked(Vec x, int64_t n) {
  if (n >= kLanes) return x;
  float lanes[kLanes] = {};
  store_partial(lanes, x, n);
  return load(lanes);
}

NW_INLINE Vec inverse_root(Vec x) { return broadcast(1.0f) / sqrt(x); }

// A long sum: float32 for a few vectors, float64 between them.
struct Sum {
  Vec part = zero();
  double total = 0;
  int count = 0;
  NW_INLINE void add(Vec x) {
    part = part + x;
    if (++count == 16) flush();
  }
  NW_INLINE void add_square(Vec x) { add(x * x); }
  NW_INLINE void flush() {
    total += static_cast<double>(sum_lanes(part));
    part = zero();
    count = 0;
  }
  NW_INLINE double value() {
    flush();
    return total;
  }
};

// Running means of something over columns (row) and over rows (column), and what a step needs of them.
struct Moments {
  float *row, *column;    // states
  float *partial, *mean;  // scratch: sums over the rows of each block, later 1 / sqrt(column) in a sheet's first one;
                          // the mean of `row` over rows
  float keep, rest;       // beta, 1 - beta
};

struct Block {
  const TensorStepEntry* e;
  int64_t sheet, first_row, last_row;  // factored
  int64_t index;                       // among the blocks of its tensor
  int64_t begin, end;                  // elements
};

// The tensors [first, last): a batch.
struct Batch {
  const TensorStepEntry* entries;
  int64_t first, last;
  HalfRounding rounding;
  int64_t first_block() const { return entries[first].first_block; }
  int64_t blocks() const { return entries[last].first_block - first_block(); }

  Block block(int64_t task) const {
    const int64_t number = first_block() + task;
    int64_t low = first, high = last - 1;
    while (low < high) {  // the last tensor whose blocks start at or before this one
      const int64_t middle = (low + high + 1) / 2;
      if (entries[middle].first_block <= number)
        low = middle;
      else
        high = middle - 1;
    }
    const TensorStepEntry& e = entries[low];
    Block b{&e, 0, 0, 0, number - e.first_block, 0, 0};
    if (e.outer == 0) {
      b.begin = b.index * kTensorBlock;
      b.end = b.begin + kTensorBlock < e.count ? b.begin + kTensorBlock : e.count;
      return b;
    }
    const int64_t blocks = e.blocks_of_sheet();
    b.sheet = b.index / blocks;
    b.first_row = b.index % blocks * e.block_rows;
    b.last_row = b.first_row + e.block_rows < e.rows ? b.first_row + e.block_rows : e.rows;
    b.begin = (b.sheet * e.rows + b.first_row) * e.width();
    b.end = (b.sheet * e.rows + b.last_row) * e.width();
    return b;
  }
};

// element(at, n, factor) for the elements of a block of a factored tensor, n of them from `at`. With kFactor, factor is
// 1 / sqrt of the product of both means over the mean of all (`from`). With kGather, what element returns is added up
// into the means `into`.
template <bool kFactor, bool kGather, class Element>
NW_INLINE void walk(const Block& b, const Moments& from, const Moments& into, Element&& element) {
  const TensorStepEntry& e = *b.e;
  const int64_t width = e.width(), inner = e.inner;
  const float* column = kFactor ? from.partial + b.sheet * e.blocks_of_sheet() * width : nullptr;
  const float* mean = kFactor ? from.mean + b.sheet * inner : nullptr;
  float* partial = kGather ? into.partial + b.index * width : nullptr;
  if (kGather) clear(partial, width);
  const auto visit = [&](int64_t at, int64_t i, auto n, Vec row_factor) {
    const Vec value = element(at + i, n, kFactor ? row_factor * load_up_to(column + i, n) : row_factor);
    if (kGather) store_up_to(partial + i, load_up_to(partial + i, n) + value, n);
    return value;
  };
  for (int64_t r = b.first_row; r < b.last_row; r++) {
    const int64_t line = b.sheet * e.rows + r, at = line * width;
    if (inner == 1) {
      const Vec factor = kFactor ? inverse_root(broadcast(from.row[line] / mean[0])) : zero();
      Sum sum;
      for_vectors(width, [&](int64_t i, auto n) {
        const Vec value = visit(at, i, n, factor);
        if (kGather) sum.add(masked(value, n));
      });
      if (!kGather) continue;
      const float average = static_cast<float>(sum.value() / static_cast<double>(e.columns));
      into.row[line] = into.keep * into.row[line] + into.rest * average;
    } else {
      const Vec share = broadcast(into.rest / static_cast<float>(e.columns)), keep = broadcast(into.keep);
      for_vectors(inner, [&](int64_t i, auto n) {
        const int64_t place = line * inner + i;
        const Vec factor = kFactor ? inverse_root(load_up_to(from.row + place, n) / load_up_to(mean + i, n)) : zero();
        Vec sum = zero();
        for (int64_t c = 0; c < e.columns; c++) sum = sum + visit(at, c * inner + i, n, factor);
        if (kGather) store_up_to(into.row + place, fma(keep, load_up_to(into.row + place, n), share * sum), n);
      });
    }
  }
}

// each(i, n, v) for the columns of x, `terms` rows of `stride`: v has their means over `of`, added up in double
// precision and row order.
template <class Each>
NW_INLINE void column_means(const float* x, int64_t terms, int64_t stride, int64_t count, int64_t of, Each&& each) {
  constexpr int64_t kChunk = 64;
  for (int64_t begin = 0; begin < count; begin += kChunk) {
    const int64_t n = count - begin < kChunk ? count - begin : kChunk;
    double totals[kChunk] = {};
    float means[kChunk] = {};
    for (int64_t t = 0; t < terms; t++)
      for (int64_t i = 0; i < n; i++) totals[i] += static_cast<double>(x[t * stride + begin + i]);
    for (int64_t i = 0; i < n; i++) means[i] = static_cast<float>(totals[i] / static_cast<double>(of));
    for_vectors(n, [&](int64_t i, auto m) { each(begin + i, m, load(means + i)); });
  }
}

// After a gathering walk over all blocks of a sheet: the running means of its columns and the mean of its rows.
inline void finish_sheet(const TensorStepEntry& e, int64_t sheet, const Moments& m) {
  const int64_t width = e.width(), blocks = e.blocks_of_sheet();
  float* partial = m.partial + sheet * blocks * width;
  float* column = m.column + sheet * width;
  const Vec keep = broadcast(m.keep), rest = broadcast(m.rest);
  column_means(partial, blocks, width, width, e.rows, [&](int64_t i, auto n, Vec fresh) {
    const Vec next = fma(keep, load_up_to(column + i, n), rest * fresh);
    store_up_to(column + i, next, n);
    store_up_to(partial + i, inverse_root(next), n);  // all blocks' sums of these columns have been read
  });
  float* mean = m.mean + sheet * e.inner;
  column_means(m.row + sheet * e.rows * e.inner, e.rows, e.inner, e.inner, e.rows,
               [&](int64_t i, auto n, Vec value) { store_up_to(mean + i, value, n); });
}

}  // namespace
}  // namespace noisewright::NOISEWRIGHT_TARGET

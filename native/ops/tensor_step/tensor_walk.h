// How the rules of tensor_step go through a tensor: by blocks, which are rows of a sheet [rows, columns, inner] of a
// factored tensor, or a run of elements of any other. Included by its kernel file alone.
#pragma once
#include "core/inverse_root.h"
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

// body(begin, n) for runs of [0, count): sums are float32 in a run, float64 between runs.
template <class Body>
NW_INLINE void for_runs(int64_t count, Body&& body) {
  constexpr int64_t kRun = 512;
  for (int64_t begin = 0; begin < count; begin += kRun) body(begin, count - begin < kRun ? count - begin : kRun);
}

// The sum of what body(i, n, sum) adds to `sum` for each vector of [0, count).
template <class Body>
NW_INLINE double sum_vectors(int64_t count, Body&& body) {
  double total = 0;
  for_runs(count, [&](int64_t begin, int64_t length) {
    Vec sum = zero();
    for_vectors(length, [&](int64_t i, auto n) { body(begin + i, n, sum); });
    total += static_cast<double>(sum_lanes(sum));
  });
  return total;
}

// Running means of something over columns (row) and over rows (column), and what a step needs of them for a block.
struct Moments {
  float *row, *column;   // states
  float* sums;           // scratch: sums of the columns over the rows of the block
  float *factor, *root;  // scratch: 1 / sqrt(column) of the block's sheet, sqrt of the mean of `row` over its rows
  float keep, rest;      // beta, 1 - beta
};

struct Block {
  const TensorStepEntry* e;
  int64_t sheet, first_row, last_row;  // factored
  int64_t index;                       // among the blocks of its tensor
  int64_t begin, end;                  // elements
  int thread;                          // that runs its task
};

// A sheet that is one block needs nothing of other tasks: its sums and factors stay with the thread, in its caches.
bool in_one_block(const TensorStepEntry& e) { return e.outer != 0 && e.blocks_of_sheet() == 1; }
bool in_many_blocks(const TensorStepEntry& e) { return e.outer != 0 && e.blocks_of_sheet() > 1; }

// The tensors [first, last): a batch.
struct Batch {
  const TensorStepEntry* entries;
  int64_t first, last;
  HalfRounding rounding;
  int64_t first_block() const { return entries[first].first_block; }
  int64_t blocks() const { return entries[last].first_block - first_block(); }
  int64_t elements() const {
    int64_t sum = 0;
    for (int64_t i = first; i < last; i++) sum += entries[i].count;
    return sum;
  }

  Block block(int64_t task, int thread) const {
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
    Block b{&e, 0, 0, 0, number - e.first_block, 0, 0, thread};
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

// element(at, n, factor, sum) for the elements of a block of a factored tensor, n of them from `at`. With kFactor,
// factor is 1 / sqrt of the product of both means over the mean of all (`from`). With kGather, what element returns is
// added up into the means `into`. Returns the sum of what it adds to `sum`.
template <bool kFactor, bool kGather, class Element>
NW_INLINE double walk(const Block& b, const Moments& from, const Moments& into, Element&& element) {
  const TensorStepEntry& e = *b.e;
  const int64_t width = e.width(), inner = e.inner;
  const float *column = from.factor, *root = from.root;
  float* partial = into.sums;
  double total = 0;
  if (kGather) clear(partial, width);
  const auto visit = [&](int64_t at, int64_t i, auto n, Vec row_factor, Vec& sum) {
    const Vec value = element(at + i, n, kFactor ? row_factor * load_up_to(column + i, n) : row_factor, sum);
    if (kGather) store_up_to(partial + i, load_up_to(partial + i, n) + value, n);
    return value;
  };
  for (int64_t r = b.first_row; r < b.last_row; r++) {
    const int64_t line = b.sheet * e.rows + r, at = line * width;
    if (inner == 1) {
      const Vec factor = kFactor ? broadcast(root[0]) * inverse_root(broadcast(from.row[line])) : zero();
      double row = 0;
      for_runs(width, [&](int64_t begin, int64_t length) {
        Vec sum = zero(), part = zero();
        for_vectors(length, [&](int64_t i, auto n) {
          const Vec value = visit(at, begin + i, n, factor, sum);
          if (kGather) part = part + masked(value, n);
        });
        total += static_cast<double>(sum_lanes(sum));
        if (kGather) row += static_cast<double>(sum_lanes(part));
      });
      if (!kGather) continue;
      const float average = static_cast<float>(row / static_cast<double>(e.columns));
      into.row[line] = into.keep * into.row[line] + into.rest * average;
    } else {
      const Vec share = broadcast(into.rest / static_cast<float>(e.columns)), keep = broadcast(into.keep);
      total += sum_vectors(inner, [&](int64_t i, auto n, Vec& sum) {
        const int64_t place = line * inner + i;
        const Vec factor = kFactor ? load_up_to(root + i, n) * inverse_root(load_up_to(from.row + place, n)) : zero();
        Vec row = zero();
        for (int64_t c = 0; c < e.columns; c++) row = row + visit(at, c * inner + i, n, factor, sum);
        if (kGather) store_up_to(into.row + place, fma(keep, load_up_to(into.row + place, n), share * row), n);
      });
    }
  }
  return total;
}

// each(i, n, v) for the columns of x, `terms` rows of `stride`: v has their means over `of`, added up in row order,
// many in double precision.
template <class Each>
NW_INLINE void column_means(const float* x, int64_t terms, int64_t stride, int64_t count, int64_t of, Each&& each) {
  const double share = 1.0 / static_cast<double>(of);
  if (terms <= 8) {
    const Vec narrow = broadcast(static_cast<float>(share));
    for_vectors(count, [&](int64_t i, auto n) {
      Vec total = load_up_to(x + i, n);
      for (int64_t t = 1; t < terms; t++) total = total + load_up_to(x + t * stride + i, n);
      each(i, n, total * narrow);
    });
    return;
  }
  constexpr int64_t kChunk = 64;
  for (int64_t begin = 0; begin < count; begin += kChunk) {
    const int64_t n = count - begin < kChunk ? count - begin : kChunk;
    double totals[kChunk] = {};
    float means[kChunk] = {};
    for (int64_t t = 0; t < terms; t++)
      for (int64_t i = 0; i < n; i++) totals[i] += static_cast<double>(x[t * stride + begin + i]);
    for (int64_t i = 0; i < n; i++) means[i] = static_cast<float>(totals[i] * share);
    for_vectors(n, [&](int64_t i, auto m) { each(begin + i, m, load(means + i)); });
  }
}

// What a walk over a block takes from the means of its sheet. The factors may lie where the sums of its first block
// were.
inline void make_factors(const Block& b, const Moments& m) {
  const TensorStepEntry& e = *b.e;
  const float* column = m.column + b.sheet * e.width();
  for_vectors(e.width(),
              [&](int64_t i, auto n) { store_up_to(m.factor + i, inverse_root(load_up_to(column + i, n)), n); });
  column_means(m.row + b.sheet * e.rows * e.inner, e.rows, e.inner, e.inner, e.rows,
               [&](int64_t i, auto n, Vec value) { store_up_to(m.root + i, sqrt(value), n); });
}

// After a gathering walk over all blocks of a sheet, of which this is the first: the running means of its columns, and
// the factors.
inline void finish_sheet(const Block& b, const Moments& m) {
  const TensorStepEntry& e = *b.e;
  const int64_t width = e.width();
  float* column = m.column + b.sheet * width;
  const Vec keep = broadcast(m.keep), rest = broadcast(m.rest);
  column_means(m.sums, e.blocks_of_sheet(), width, width, e.rows, [&](int64_t i, auto n, Vec fresh) {
    store_up_to(column + i, fma(keep, load_up_to(column + i, n), rest * fresh), n);
  });
  make_factors(b, m);
}

}  // namespace
}  // namespace noisewright::NOISEWRIGHT_TARGET

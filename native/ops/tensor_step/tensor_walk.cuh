// How the kernels of tensor_step go through a tensor: tensor_walk.h for GPUs. A thread block takes a block: rows of a
// sheet [rows, columns, inner] of a factored tensor, or a run of elements of any other. With inner = 1 a warp takes a
// row, 128 columns at a time: a lane keeps the sums over rows of its four columns, the warp joins the sums of the row.
// Otherwise a thread takes four neighbours along inner, for all rows and columns.
#pragma once
#include "cuda/reduce.cuh"
#include "cuda/stepped_param.cuh"
#include "ops/tensor_step/tensor_step_cuda.h"

namespace noisewright::cuda {
namespace {

__device__ inline float inverse_root(float x) { return 1.0f / sqrtf(x); }

// Running means of something over columns (row) and over rows (column), and what a step needs of them.
struct Moments {
  float *row, *column;    // states
  float *partial, *mean;  // scratch: sums over the rows of each block, later 1 / sqrt(column) in a sheet's first one;
                          // the mean of `row` over rows
  float keep, rest;       // beta, 1 - beta
};

// Of the squared gradients or of CAME's squared errors.
__device__ inline Moments moments_of(const TensorStepEntry& e, const TensorWork& w, bool errors) {
  float* mine = w.floats + (errors ? w.partials + w.means : 0);
  return {errors ? e.state[3] : e.state[0], errors ? e.state[4] : e.state[1], mine + e.first_partial,
          mine + w.partials + e.first_mean, errors ? e.k[9] : e.k[0],         errors ? e.k[10] : e.k[1]};
}

// This thread block's.
struct Block {
  const TensorStepEntry& e;
  int64_t entry;
  int64_t index;                   // among the blocks of its tensor
  int64_t sheet, first_row, rows;  // factored
  int64_t begin, end;              // elements
  bool fours;                      // visits begin at multiples of four
  bool wide;                       // and four neighbours may be accessed at once
};

__device__ inline Block this_block(const TensorStepParams& p) {
  int64_t low = 0, high = p.entry_count - 1;
  while (low < high) {  // the last tensor whose blocks start at or before this one
    const int64_t middle = (low + high + 1) / 2;
    if (p.entries[middle].first_block <= blockIdx.x)
      low = middle;
    else
      high = middle - 1;
  }
  const TensorStepEntry& e = p.entries[low];
  uintptr_t addresses = reinterpret_cast<uintptr_t>(e.param) | reinterpret_cast<uintptr_t>(e.copy) |
                        reinterpret_cast<uintptr_t>(e.gradient);
  for (float* state : e.state) addresses |= reinterpret_cast<uintptr_t>(state);
  const bool fours = e.outer == 0 || (e.inner == 1 ? e.columns : e.inner) % 4 == 0;
  Block b{e, low, blockIdx.x - e.first_block, 0, 0, 0, 0, 0, fours, fours && addresses % 16 == 0};
  if (e.outer == 0) {
    b.begin = b.index * kTensorBlock;
    b.end = b.begin + kTensorBlock < e.count ? b.begin + kTensorBlock : e.count;
    return b;
  }
  const int64_t blocks = e.blocks_of_sheet();
  b.sheet = b.index / blocks;
  b.first_row = b.index % blocks * e.block_rows;
  b.rows = e.block_rows < e.rows - b.first_row ? e.block_rows : e.rows - b.first_row;
  b.begin = (b.sheet * e.rows + b.first_row) * e.width();
  b.end = b.begin + b.rows * e.width();
  return b;
}

// A thread's part of a long sum.
struct ThreadSum {
  double total = 0.0;
  // The squares of the first `left`.
  __device__ void add_squares(const gpu::Four& x, int64_t left) {
    float sum = 0.0f;
    for (int k = 0; k < 4; k++)
      if (k < left) sum = sum + x.v[k] * x.v[k];
    total += static_cast<double>(sum);
  }
};

// visit(at, left) for this thread's elements of the block, four neighbours from `at`, of which `left` exist.
template <class Visit>
__device__ inline void for_fours(const Block& b, Visit&& visit) {
  for (int64_t at = b.begin + threadIdx.x * 4; at < b.end; at += kTensorThreads * 4) visit(at, b.end - at);
}

template <bool kFactor, bool kGather, class Visit>
__device__ inline void walk_rows(const Block& b, const Moments& from, const Moments& into, Visit&& visit) {
  SHARED(float, row_factor, [kTensorMostRows]);
  SHARED(double, row_sum, [kTensorMostRows]);
  SHARED(float, column_sum, [kTensorWarps][kTensorStrip]);
  const TensorStepEntry& e = b.e;
  const int lane = threadIdx.x % gpu::kWarpSize, warp = threadIdx.x / gpu::kWarpSize;
  const int64_t width = e.columns, line = b.sheet * e.rows + b.first_row;
  for (int64_t r = threadIdx.x; r < b.rows; r += kTensorThreads) {
    if (kFactor) row_factor[r] = inverse_root(from.row[line + r] / from.mean[b.sheet]);
    if (kGather) row_sum[r] = 0.0;
  }
  __syncthreads();
  for (int64_t strip = 0; strip < width; strip += kTensorStrip) {
    const int64_t i = strip + lane * 4, left = width - i;
    gpu::Four column{}, sums{};
    if (kFactor) column = gpu::load_four(from.partial + b.sheet * e.blocks_of_sheet() * width + i, false, left);
    for (int64_t r = warp; r < b.rows; r += kTensorWarps) {
      gpu::Four value{}, factor{};
      if (kFactor)
        for (int k = 0; k < 4; k++) factor.v[k] = row_factor[r] * column.v[k];
      if (left > 0) value = visit(b.begin + r * width + i, left, factor);
      if (!kGather) continue;
      float sum = 0.0f;
      for (int k = 0; k < 4; k++) {
        if (k >= left) continue;
        sums.v[k] = sums.v[k] + value.v[k];
        sum = sum + value.v[k];
      }
      sum = gpu::reduce_warp<gpu::Sum>(sum);
      if (lane == 0) row_sum[r] += static_cast<double>(sum);
    }
    if constexpr (kGather) {
      for (int k = 0; k < 4; k++) column_sum[warp][lane * 4 + k] = sums.v[k];
      __syncthreads();
      const int64_t c = threadIdx.x;
      if (c < kTensorStrip && strip + c < width) {
        float total = 0.0f;
        for (int w = 0; w < kTensorWarps; w++) total = total + column_sum[w][c];
        into.partial[b.index * width + strip + c] = total;
      }
      __syncthreads();
    }
  }
  if constexpr (kGather) {
    for (int64_t r = threadIdx.x; r < b.rows; r += kTensorThreads) {
      const auto average = static_cast<float>(row_sum[r] / static_cast<double>(e.columns));
      into.row[line + r] = into.keep * into.row[line + r] + into.rest * average;
    }
  }
}

template <bool kFactor, bool kGather, class Visit>
__device__ inline void walk_inner(const Block& b, const Moments& from, const Moments& into, Visit&& visit) {
  const TensorStepEntry& e = b.e;
  const int64_t inner = e.inner, width = e.width(), first_line = b.sheet * e.rows + b.first_row;
  const float share = into.rest / static_cast<float>(e.columns);
  for (int64_t i = threadIdx.x * 4; i < inner; i += kTensorThreads * 4) {
    const int64_t left = inner - i;
    const float* column = from.partial + b.sheet * e.blocks_of_sheet() * width + i;
    float* partial = into.partial + b.index * width + i;
    gpu::Four mean{};
    if (kFactor) mean = gpu::load_four(from.mean + b.sheet * inner + i, false, left);
    for (int64_t r = 0; r < b.rows; r++) {
      const int64_t place = (first_line + r) * inner + i;
      gpu::Four row{}, sum{};
      if (kFactor) row = gpu::load_four(from.row + place, false, left);
      for (int k = 0; kFactor && k < 4; k++) row.v[k] = inverse_root(row.v[k] / mean.v[k]);
      for (int64_t c = 0; c < e.columns; c++) {
        gpu::Four factor{};
        if (kFactor) factor = gpu::load_four(column + c * inner, false, left);
        for (int k = 0; k < 4; k++) factor.v[k] = row.v[k] * factor.v[k];
        const gpu::Four value = visit(b.begin + r * width + c * inner + i, left, factor);
        if (!kGather) continue;
        gpu::Four total{};
        if (r > 0) total = gpu::load_four(partial + c * inner, false, left);
        for (int k = 0; k < 4; k++) {
          sum.v[k] = sum.v[k] + value.v[k];
          total.v[k] = total.v[k] + value.v[k];
        }
        gpu::store_four(partial + c * inner, total, false, left);
      }
      if (!kGather) continue;
      gpu::Four next = gpu::load_four(into.row + place, false, left);
      for (int k = 0; k < 4; k++) next.v[k] = fmaf(into.keep, next.v[k], share * sum.v[k]);
      gpu::store_four(into.row + place, next, false, left);
    }
  }
}

// visit(at, left, factors) for the elements of a block of a factored tensor, four neighbours from `at`. With kFactor,
// factors are 1 / sqrt of the product of both means over the mean of all (`from`). With kGather, what visit returns is
// added up into the means `into`.
template <bool kFactor, bool kGather, class Visit>
__device__ inline void walk(const Block& b, const Moments& from, const Moments& into, Visit&& visit) {
  if (b.e.inner == 1)
    walk_rows<kFactor, kGather>(b, from, into, visit);
  else
    walk_inner<kFactor, kGather>(b, from, into, visit);
}

// After a gathering walk over all blocks of a sheet, each of which takes its share of the columns: the running means of
// the columns, and the mean of the rows.
__device__ inline void finish_sheet(const Block& b, const Moments& m) {
  SHARED(double, part, [kTensorWarps][gpu::kWarpSize]);
  const TensorStepEntry& e = b.e;
  const int lane = threadIdx.x % gpu::kWarpSize, warp = threadIdx.x / gpu::kWarpSize;
  const int64_t width = e.width(), blocks = e.blocks_of_sheet(), number = b.index % blocks;
  float* partial = m.partial + b.sheet * blocks * width;
  float* column = m.column + b.sheet * width;
  const auto step = [&](int64_t i, double total) {
    const float next = fmaf(m.keep, column[i], m.rest * static_cast<float>(total / static_cast<double>(e.rows)));
    column[i] = next;
    partial[i] = inverse_root(next);  // all blocks' sums of this column have been read
  };
  if (blocks <= kTensorWarps) {
    for (int64_t i = number * kTensorThreads + threadIdx.x; i < width; i += blocks * kTensorThreads) {
      double total = 0.0;
      for (int64_t t = 0; t < blocks; t++) total += static_cast<double>(partial[t * width + i]);
      step(i, total);
    }
  } else {
    for (int64_t first = number * gpu::kWarpSize; first < width; first += blocks * gpu::kWarpSize) {
      const int64_t i = first + lane;
      double total = 0.0;
      for (int64_t t = warp; i < width && t < blocks; t += kTensorWarps)
        total += static_cast<double>(partial[t * width + i]);
      part[warp][lane] = total;
      __syncthreads();
      if (warp == 0 && i < width) {
        for (int w = 1; w < kTensorWarps; w++) total += part[w][lane];
        step(i, total);
      }
      __syncthreads();
    }
  }
  if (number != 0) return;
  const float* row = m.row + b.sheet * e.rows * e.inner;
  if (e.inner == 1) {
    double total = 0.0;
    for (int64_t r = threadIdx.x; r < e.rows; r += kTensorThreads) total += static_cast<double>(row[r]);
    total = gpu::reduce_block<gpu::Sum>(total, part[0]);
    if (threadIdx.x == 0) m.mean[b.sheet] = static_cast<float>(total / static_cast<double>(e.rows));
    return;
  }
  for (int64_t i = threadIdx.x; i < e.inner; i += kTensorThreads) {
    double total = 0.0;
    for (int64_t r = 0; r < e.rows; r++) total += static_cast<double>(row[r * e.inner + i]);
    m.mean[b.sheet * e.inner + i] = static_cast<float>(total / static_cast<double>(e.rows));
  }
}

}  // namespace
}  // namespace noisewright::cuda

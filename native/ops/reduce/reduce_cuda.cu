// Rows (inner = 1) are cut into chunks, a thread block for each; columns into chunks of rows, a thread for eight
// columns of each. What the chunks leave is added up in float64. All of this depends on the shape alone.
#include "ops/reduce/reduce_cuda.h"

#include "cuda/elementwise.cuh"
#include "cuda/reduce.cuh"
#include "ops/reduce/reduce.h"

namespace noisewright::cuda {

namespace {

template <class T>
__device__ inline gpu::Eight terms_at(const ReduceParams& p, const ReduceScratch& s, int64_t i, int64_t left) {
  gpu::Eight x = gpu::load_eight(static_cast<const T*>(p.x) + i, s.wide, left);
  if (!p.z) return x;
  const gpu::Eight z = gpu::load_eight(static_cast<const T*>(p.z) + i, s.wide, left);
  for (int k = 0; k < 8; k++) x.v[k] = x.v[k] * z.v[k];
  return x;
}

template <class T>
__device__ inline void reduce_rows(const ReduceParams& p, const ReduceScratch& s) {
  SHARED(float, part, [gpu::kWarpSize]);
  const gpu::Division at = gpu::divide(blockIdx.x, s.chunks);
  const int64_t first = at.remainder * s.chunk, end = first + s.chunk < p.terms ? first + s.chunk : p.terms;
  float sums[8] = {};
  for (int64_t i = first + threadIdx.x * 8; i < end; i += int64_t{blockDim.x} * 8) {
    const gpu::Eight x = terms_at<T>(p, s, at.quotient * p.terms + i, end - i);
    for (int k = 0; k < 8; k++) sums[k] += x.v[k];
  }
  const float sum = ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
  const float total = gpu::reduce_block<gpu::Sum>(sum, part);
  if (threadIdx.x == 0) s.partials[blockIdx.x] = s.factor * total;
}

// The chunks of a row, a thread block for each row.
__device__ inline void reduce_join_rows(const ReduceParams& p, const ReduceScratch& s) {
  SHARED(double, part, [gpu::kWarpSize]);
  double sum = 0.0;
  for (int64_t k = threadIdx.x; k < s.chunks; k += kReduceThreads)
    sum += static_cast<double>(s.partials[blockIdx.x * s.chunks + k]);
  const double total = gpu::reduce_block<gpu::Sum>(sum, part);
  if (threadIdx.x == 0) p.y[blockIdx.x] = p.factor * static_cast<float>(total);
}

template <class T>
__device__ inline void reduce_columns(const ReduceParams& p, const ReduceScratch& s) {
  const int64_t stripes = (p.inner + 7) / 8;
  const gpu::Division stripe = gpu::divide(int64_t{blockIdx.x} * kReduceThreads + threadIdx.x, stripes);
  const gpu::Division chunk = gpu::divide(stripe.quotient, s.chunks);
  if (chunk.quotient >= p.outer) return;
  const int64_t column = stripe.remainder * 8, left = p.inner - column, first = chunk.remainder * s.chunk;
  const int64_t rows = s.chunk < p.terms - first ? s.chunk : p.terms - first;
  const int64_t start = (chunk.quotient * p.terms + first) * p.inner + column;
  gpu::Eight sum{};
  int64_t row = 0;
  for (; row + 4 <= rows; row += 4) {
    gpu::Eight x[4];
    for (int r = 0; r < 4; r++) x[r] = terms_at<T>(p, s, start + (row + r) * p.inner, left);
    for (int k = 0; k < 8; k++) sum.v[k] += (x[0].v[k] + x[1].v[k]) + (x[2].v[k] + x[3].v[k]);
  }
  for (; row < rows; row++) {
    const gpu::Eight x = terms_at<T>(p, s, start + row * p.inner, left);
    for (int k = 0; k < 8; k++) sum.v[k] += x.v[k];
  }
  for (float& value : sum.v) value = s.factor * value;
  gpu::store_eight(s.partials + stripe.quotient * p.inner + column, sum, s.wide, left);
}

// The chunks of a column, a thread for each column.
__device__ inline void reduce_join_columns(const ReduceParams& p, const ReduceScratch& s) {
  const int64_t i = int64_t{blockIdx.x} * kReduceThreads + threadIdx.x;
  const gpu::Division at = gpu::divide(i, p.inner);
  if (at.quotient >= p.outer) return;
  const float* partials = s.partials + at.quotient * s.chunks * p.inner + at.remainder;
  double sum = 0.0;
  for (int64_t k = 0; k < s.chunks; k++) sum += static_cast<double>(partials[k * p.inner]);
  p.y[i] = p.factor * static_cast<float>(sum);
}

}  // namespace

// Two blocks at least: without a number nvcc spills on sm_100 and sm_120 to make room for more.
#define REDUCE_KERNEL(name, call)                                                                                 \
  extern "C" __global__ void __launch_bounds__(kReduceThreads, 2) name(ReduceParams p, ReduceScratch s) { call; } \
  KERNEL(name)

REDUCE_KERNEL(reduce_rows_f32_kernel, reduce_rows<float>(p, s));
REDUCE_KERNEL(reduce_rows_bf16_kernel, reduce_rows<bfloat16>(p, s));
REDUCE_KERNEL(reduce_rows_f16_kernel, reduce_rows<float16>(p, s));
REDUCE_KERNEL(reduce_columns_f32_kernel, reduce_columns<float>(p, s));
REDUCE_KERNEL(reduce_columns_bf16_kernel, reduce_columns<bfloat16>(p, s));
REDUCE_KERNEL(reduce_columns_f16_kernel, reduce_columns<float16>(p, s));
REDUCE_KERNEL(reduce_join_rows_kernel, reduce_join_rows(p, s));
REDUCE_KERNEL(reduce_join_columns_kernel, reduce_join_columns(p, s));

}  // namespace noisewright::cuda

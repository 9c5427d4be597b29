// Sums over the rows of a matrix, for gradients of biases: partial sums of 64 rows, then those in order. A thread has a
// column; its neighbours read the same lines. Bound by reading x once (arithmetic, not measured on a GPU).
#include "ops/matmul/column_sums_cuda.h"

#include "cuda/gpu.h"

namespace noisewright::cuda {

extern "C" __global__ void __launch_bounds__(kSumThreads) column_sums_partial_kernel(ColumnSums s) {
  const int64_t column = int64_t{blockIdx.y} * kSumThreads + threadIdx.x, chunk = blockIdx.x, group = blockIdx.z;
  if (column >= s.columns) return;
  const int64_t first = chunk * kSumRows, end = first + kSumRows < s.rows ? first + kSumRows : s.rows;
  float sum = 0;
  for (int64_t row = first; row < end; row++)
    sum = sum + gpu::load_any(s.x, s.dtype, (group * s.rows + row) * s.columns + column);
  s.partial[(group * s.chunks + chunk) * s.columns + column] = sum;
}
KERNEL(column_sums_partial_kernel);

extern "C" __global__ void __launch_bounds__(kSumThreads) column_sums_join_kernel(ColumnSums s) {
  const int64_t column = int64_t{blockIdx.x} * kSumThreads + threadIdx.x, group = blockIdx.y;
  if (column >= s.columns) return;
  float sum = 0;
  for (int64_t chunk = 0; chunk < s.chunks; chunk++)
    sum = sum + s.partial[(group * s.chunks + chunk) * s.columns + column];
  s.to[group * s.columns + column] = sum;
}
KERNEL(column_sums_join_kernel);

}  // namespace noisewright::cuda

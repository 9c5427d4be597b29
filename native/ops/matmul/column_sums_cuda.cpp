#include "ops/matmul/column_sums_cuda.h"

#include "core/parallel.h"
#include "cuda/kernel_name.h"
#include "cuda/launch.h"

namespace noisewright::cuda {

void column_sums(const void* x, DType dtype, int64_t groups, int64_t rows, int64_t columns, float* to) {
  const int64_t chunks = blocks_for(rows, kSumRows), blocks = blocks_for(columns, kSumThreads);
  const Scratch<float> partial(groups * chunks * columns);
  const ColumnSums s{x, dtype, rows, columns, chunks, partial.data, to};
  launch_kernel("column_sums_partial_kernel", {chunks, blocks, groups}, {kSumThreads}, 0, s);
  launch_kernel("column_sums_join_kernel", {blocks, groups}, {kSumThreads}, 0, s);
}

}  // namespace noisewright::cuda

// What the kernels of column_sums_cuda.cu and their host code in column_sums_cuda.cpp agree on.
#pragma once
#include "ops/matmul/gemm_cuda.h"

namespace noisewright::cuda {

struct ColumnSums {
  const void* x;  // [groups, rows, columns]
  DType dtype;
  int64_t rows, columns;
  int64_t chunks;  // of kSumRows rows
  float* partial;  // [groups, chunks, columns]
  float* to;       // [groups, columns]
};

}  // namespace noisewright::cuda

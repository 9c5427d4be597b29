// Matrix products for kernel files: C = epilogue(alpha * sum of A_i B_i), float32 sums, K in ascending blocks. Results
// depend on shapes and the instruction set alone. gemm() runs its own parallel sections: call it from the operation's
// thread, never inside a task.
#pragma once
#include <cstdint>

#include "core/dtype.h"
#include "ops/matmul/activation.h"

namespace noisewright::NOISEWRIGHT_TARGET {

// One factor, seen as lines of K numbers: the rows of A, or the columns of B.
struct GemmFactor {
  const void* data = nullptr;
  DType dtype = DType::kFloat32;  // any float type
  bool k_major = false;           // neighbours in memory differ in line (true) or in k (false)
  int64_t stride = 0;             // elements from one line to the next, or from one k to the next when k_major
  int64_t batch_stride = 0;
  // For what is not a matrix in memory: gives `count` elements from `begin` of line `outer` (of k = outer when
  // k_major), in place or written to buffer.
  const void* (*span)(const void* context, int64_t outer, int64_t begin, int64_t count, void* buffer) = nullptr;
  const void* context = nullptr;
};

// Where row i of C starts: rows are numbered through [.., size1, size2]; size2 = 0 means evenly spaced by stride2.
struct RowMap {
  int64_t stride2 = 0, size2 = 0, stride1 = 0, size1 = 1, stride0 = 0;
  int64_t offset(int64_t row) const {
    if (size2 == 0) return row * stride2;
    const int64_t outer = row / size2;
    return outer / size1 * stride0 + outer % size1 * stride1 + row % size2 * stride2;
  }
};

struct GemmSegment {
  GemmFactor a, b;
  int64_t k = 0;
};

// v = alpha * sum + bias; pre = v; v = activation(v); c = v + residual.
struct Gemm {
  int64_t m = 0, n = 0, batch = 1;
  int segments = 1;  // products that are added
  GemmSegment segment[2];
  float alpha = 1;
  const float* bias = nullptr;  // [groups, n]
  int64_t bias_rows = 0;        // rows that share one line of bias; 0 = all
  Activation activation = Activation::kNone;
  void* c = nullptr;
  DType c_dtype = DType::kFloat32;  // any float type
  RowMap rows;                      // of c, residual and pre
  int64_t c_batch_stride = 0;
  const void* residual = nullptr;  // dtype of c
  void* pre = nullptr;             // dtype of c
};

void gemm(const Gemm& g);

// to[groups, columns] = sums over the rows of x[groups, rows, columns]
void column_sums(const void* x, DType dtype, int64_t groups, int64_t rows, int64_t columns, float* to);

// A matrix whose rows are the factor's lines (A as [m, k], B as [n, k]), or whose columns are (A as [k, m], B as [k,
// n]).
inline GemmFactor factor_of(const void* data, DType dtype, int64_t stride, bool k_major, int64_t batch_stride = 0) {
  GemmFactor f;
  f.data = data;
  f.dtype = dtype;
  f.stride = stride;
  f.k_major = k_major;
  f.batch_stride = batch_stride;
  return f;
}

}  // namespace noisewright::NOISEWRIGHT_TARGET

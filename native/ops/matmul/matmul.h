// c = a b over [batch] matrices, either factor optionally transposed.
#pragma once
#include "core/cpu_target.h"
#include "core/dtype.h"

namespace noisewright {

struct MatmulParams {
  const void* a;  // [batch, m, k], or [batch, k, m] when transposed
  const void* b;  // [batch, k, n], or [batch, n, k] when transposed
  void* c;        // [batch, m, n]
  int64_t batch, m, n, k;
  int64_t a_batch_stride, b_batch_stride;  // 0: shared by the whole batch
  DType a_dtype, b_dtype, c_dtype;
  bool transpose_a, transpose_b;
};

CPU_KERNEL_BF16(matmul_forward, MatmulParams)

namespace cuda {
void matmul_forward(const MatmulParams& p);
}

}  // namespace noisewright

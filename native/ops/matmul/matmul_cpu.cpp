#include "ops/matmul/matmul.h"

#include "ops/matmul/gemm.h"

namespace noisewright::NOISEWRIGHT_TARGET {

void matmul_forward(const MatmulParams& p) {
  Gemm g;
  g.batch = p.batch;
  g.m = p.m;
  g.n = p.n;
  g.segment[0].k = p.k;
  g.segment[0].a = factor_of(p.a, p.a_dtype, p.transpose_a ? p.m : p.k, p.transpose_a, p.a_batch_stride);
  g.segment[0].b = factor_of(p.b, p.b_dtype, p.transpose_b ? p.k : p.n, !p.transpose_b, p.b_batch_stride);
  g.c = p.c;
  g.c_dtype = p.c_dtype;
  g.rows.stride2 = p.n;
  g.c_batch_stride = p.m * p.n;
  gemm(g);
}

}  // namespace noisewright::NOISEWRIGHT_TARGET

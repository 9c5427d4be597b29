#include "ops/matmul/gemm_cuda.h"
#include "ops/matmul/matmul.h"

namespace noisewright::cuda {

void matmul_forward(const MatmulParams& p) {
  Product product;
  product.batch = p.batch;
  product.m = p.m;
  product.n = p.n;
  product.k = p.k;
  product.a = matrix_of(p.a, p.a_dtype, p.transpose_a ? p.m : p.k, p.transpose_a, p.a_batch_stride);
  product.b = matrix_of(p.b, p.b_dtype, p.transpose_b ? p.k : p.n, !p.transpose_b, p.b_batch_stride);
  product.tf32 = p.c_dtype != DType::kFloat32;
  product.c = p.c;
  product.c_dtype = p.c_dtype;
  product.stride2 = p.n;
  product.c_batch_stride = p.m * p.n;
  multiply(product, "matmul");
}

}  // namespace noisewright::cuda

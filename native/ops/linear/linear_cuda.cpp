// As on the CPU, the low-rank branch is extra K of the main product, so that y and dx are written once. What lies
// between its two factors is float32; products with it run on tensor cores as tf32 when the layer has 16 bits.
#include "ops/linear/linear_cuda.h"

#include "core/parallel.h"
#include "cuda/kernel_name.h"
#include "cuda/launch.h"
#include "ops/linear/linear.h"
#include "ops/matmul/gemm_cuda.h"

namespace noisewright::cuda {

namespace {

// layer: the type of x or dy, which stands on one side at least.
Product product_of(DType layer, int64_t m, int64_t n, int64_t k, const Factor& a, const Factor& b, void* c,
                   DType c_dtype) {
  Product p;
  p.tf32 = layer != DType::kFloat32;
  p.m = m;
  p.n = n;
  p.k = k;
  p.a = a;
  p.b = b;
  p.c = c;
  p.c_dtype = c_dtype;
  p.stride2 = n;
  return p;
}

// z[rows, rank] = scale x lora_downT
void project_down(const void* x, DType x_dtype, const void* down, DType down_dtype, int64_t rows, int64_t in,
                  int64_t rank, float scale, float* z) {
  Product p = product_of(x_dtype, rows, rank, in, matrix_of(x, x_dtype, in, false),
                         matrix_of(down, down_dtype, in, false), z, DType::kFloat32);
  p.alpha = scale;
  multiply(p, "linear");
}

}  // namespace

void linear_forward(const LinearParams& p) {
  const Scratch<float> z_memory(p.lora_down && !p.z ? p.rows * p.rank : 1);
  Product product = product_of(p.dtype, p.rows, p.out, p.in, matrix_of(p.x, p.dtype, p.in, false),
                               matrix_of(p.weight, p.weight_dtype, p.in, false), p.y, p.dtype);
  if (p.lora_down) {
    float* z = p.z ? p.z : z_memory.data;
    project_down(p.x, p.dtype, p.lora_down, p.down_dtype, p.rows, p.in, p.rank, p.lora_scale, z);
    product.low_k = p.rank;
    product.low_a = matrix_of(z, DType::kFloat32, p.rank, false);
    product.low_b = matrix_of(p.lora_up, p.up_dtype, p.rank, false);
  }
  product.bias = p.bias;
  product.bias_dtype = p.bias_dtype;
  product.activation = p.activation;
  product.residual = p.residual;
  product.residual_dtype = p.dtype;
  product.pre = p.pre;
  multiply(product, "linear");
}

void linear_backward(const LinearBackwardParams& p) {
  const int64_t count = p.rows * p.out;
  const bool lora = p.lora_down != nullptr;
  const Scratch<char> dpre(p.pre ? count * static_cast<int64_t>(item_size(p.dtype)) : 1);
  const void* dy = p.dy;  // from here on the gradient before the activation
  if (p.pre) {
    dy = dpre.data;
    launch_kernel(
        ("linear_through_activation" + suffix("linear", p.dtype) + "_kernel").c_str(),
        {blocks_for(count, kSlopeThreads * kSlopePerThread)}, {kSlopeThreads}, 0,
        SlopeParams{p.dy, p.pre, dpre.data, count, p.activation, aligned_for_eight({p.dy, p.pre, dpre.data})});
  }
  const Factor dy_rows = matrix_of(dy, p.dtype, p.out, false), dy_columns = matrix_of(dy, p.dtype, p.out, true);
  const Factor x_columns = matrix_of(p.x, p.dtype, p.in, true);

  const bool needs_dz = lora && (p.dx || p.ddown);
  const Scratch<float> dz(needs_dz ? p.rows * p.rank : 1);
  if (needs_dz) {
    Product product = product_of(p.dtype, p.rows, p.rank, p.out, dy_rows,
                                 matrix_of(p.lora_up, p.up_dtype, p.rank, true), dz.data, DType::kFloat32);
    product.alpha = p.lora_scale;
    multiply(product, "linear backward");
  }
  if (p.dx) {
    Product product = product_of(p.dtype, p.rows, p.in, p.out, dy_rows, matrix_of(p.weight, p.weight_dtype, p.in, true),
                                 p.dx, p.dtype);
    if (lora) {
      product.low_k = p.rank;
      product.low_a = matrix_of(dz.data, DType::kFloat32, p.rank, false);
      product.low_b = matrix_of(p.lora_down, p.down_dtype, p.in, true);
    }
    multiply(product, "linear backward");
  }
  if (p.dweight)
    multiply(product_of(p.dtype, p.out, p.in, p.rows, dy_columns, x_columns, p.dweight, DType::kFloat32),
             "linear backward");
  if (p.dbias) column_sums(dy, p.dtype, 1, p.rows, p.out, p.dbias);
  if (p.ddown)
    multiply(product_of(p.dtype, p.rank, p.in, p.rows, matrix_of(dz.data, DType::kFloat32, p.rank, true), x_columns,
                        p.ddown, DType::kFloat32),
             "linear backward");
  if (p.dup) {
    const Scratch<float> z_memory(p.z ? 1 : p.rows * p.rank);
    if (!p.z) project_down(p.x, p.dtype, p.lora_down, p.down_dtype, p.rows, p.in, p.rank, p.lora_scale, z_memory.data);
    multiply(product_of(p.dtype, p.out, p.rank, p.rows, dy_columns,
                        matrix_of(p.z ? p.z : z_memory.data, DType::kFloat32, p.rank, true), p.dup, DType::kFloat32),
             "linear backward");
  }
}

}  // namespace noisewright::cuda

// The low-rank branch is extra K of the main product: [x | z] [weight | lora_up]T forward, [dy | dz] [weight ;
// lora_down] backward, so that y and dx are written once.
#include "ops/linear/linear.h"

#include <type_traits>

#include "core/parallel.h"
#include "core/simd.h"
#include "ops/matmul/activation_simd.h"
#include "ops/matmul/gemm.h"

namespace noisewright::NOISEWRIGHT_TARGET {
namespace {

// c[m, n] = alpha a bT-like product of two factors, packed and without ceremony.
Gemm product(int64_t m, int64_t n, int64_t k, const GemmFactor& a, const GemmFactor& b, void* c, DType c_dtype) {
  Gemm g;
  g.m = m;
  g.n = n;
  g.segment[0] = {a, b, k};
  g.c = c;
  g.c_dtype = c_dtype;
  g.rows.stride2 = n;
  return g;
}

// z[rows, rank] = lora_scale x lora_downT
void project_down(const void* x, DType x_dtype, const void* down, DType down_dtype, int64_t rows, int64_t in,
                  int64_t rank, float scale, float* z) {
  Gemm g = product(rows, rank, in, factor_of(x, x_dtype, in, false), factor_of(down, down_dtype, in, false), z,
                   DType::kFloat32);
  g.alpha = scale;
  gemm(g);
}

template <class T>
void through_activation(Activation activation, const T* dy, const T* pre, T* to, int64_t count) {
  parallel_chunks(count, 8192, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += kLanes)
      store_up_to(to + i, load_up_to(dy + i, end - i) * activation_slope(activation, load_up_to(pre + i, end - i)),
                  end - i);
  });
}

}  // namespace

void linear_forward(const LinearParams& p) {
  Scratch<float> bias(p.bias ? p.out : 1);
  if (p.bias)
    with_float_type(p.bias_dtype, [&](auto* t) {
      const auto* from = static_cast<const std::remove_pointer_t<decltype(t)>*>(p.bias);
      for (int64_t i = 0; i < p.out; i++) bias[i] = to_float(from[i]);
    });
  Scratch<float> z_memory(p.lora_down && !p.z ? p.rows * p.rank : 1);
  Gemm g = product(p.rows, p.out, p.in, factor_of(p.x, p.dtype, p.in, false),
                   factor_of(p.weight, p.weight_dtype, p.in, false), p.y, p.dtype);
  if (p.lora_down) {
    float* z = p.z ? p.z : z_memory.data;
    project_down(p.x, p.dtype, p.lora_down, p.down_dtype, p.rows, p.in, p.rank, p.lora_scale, z);
    g.segments = 2;
    g.segment[1] = {factor_of(z, DType::kFloat32, p.rank, false), factor_of(p.lora_up, p.up_dtype, p.rank, false),
                    p.rank};
  }
  if (p.bias) g.bias = bias.data;
  g.activation = p.activation;
  g.residual = p.residual;
  g.pre = p.pre;
  gemm(g);
}

void linear_backward(const LinearBackwardParams& p) {
  const int64_t count = p.rows * p.out;
  const bool lora = p.lora_down != nullptr;
  Scratch<char> dpre_memory(p.pre ? count * (p.dtype == DType::kFloat32 ? 4 : 2) : 1);
  const void* dy = p.dy;  // from here on the gradient before the activation
  if (p.pre) {
    dy = dpre_memory.data;
    with_float_type(p.dtype, [&](auto* t) {
      using T = std::remove_pointer_t<decltype(t)>;
      through_activation(p.activation, static_cast<const T*>(p.dy), static_cast<const T*>(p.pre),
                         reinterpret_cast<T*>(dpre_memory.data), count);
    });
  }
  const GemmFactor dy_rows = factor_of(dy, p.dtype, p.out, false), dy_columns = factor_of(dy, p.dtype, p.out, true);
  const GemmFactor x_columns = factor_of(p.x, p.dtype, p.in, true);

  const bool needs_dz = lora && (p.dx || p.ddown);
  Scratch<float> dz(needs_dz ? p.rows * p.rank : 1);
  if (needs_dz) {
    Gemm g = product(p.rows, p.rank, p.out, dy_rows, factor_of(p.lora_up, p.up_dtype, p.rank, true), dz.data,
                     DType::kFloat32);
    g.alpha = p.lora_scale;
    gemm(g);
  }
  if (p.dx) {
    Gemm g = product(p.rows, p.in, p.out, dy_rows, factor_of(p.weight, p.weight_dtype, p.in, true), p.dx, p.dtype);
    if (lora) {
      g.segments = 2;
      g.segment[1] = {factor_of(dz.data, DType::kFloat32, p.rank, false),
                      factor_of(p.lora_down, p.down_dtype, p.in, true), p.rank};
    }
    gemm(g);
  }
  if (p.dweight) gemm(product(p.out, p.in, p.rows, dy_columns, x_columns, p.dweight, DType::kFloat32));
  if (p.dbias) column_sums(dy, p.dtype, 1, p.rows, p.out, p.dbias);
  if (p.ddown)
    gemm(product(p.rank, p.in, p.rows, factor_of(dz.data, DType::kFloat32, p.rank, true), x_columns, p.ddown,
                 DType::kFloat32));
  if (p.dup) {
    Scratch<float> z_memory(p.z ? 1 : p.rows * p.rank);
    if (!p.z) project_down(p.x, p.dtype, p.lora_down, p.down_dtype, p.rows, p.in, p.rank, p.lora_scale, z_memory.data);
    const float* z = p.z ? p.z : z_memory.data;
    gemm(product(p.out, p.rank, p.rows, dy_columns, factor_of(z, DType::kFloat32, p.rank, true), p.dup,
                 DType::kFloat32));
  }
}

}  // namespace noisewright::NOISEWRIGHT_TARGET

// A thread block takes a row, which after the first of its passes comes from the caches. The gradients of weight and
// bias are sums over rows: a thread for each channel and run of rows, then one for each channel.
#include "ops/layer_norm/layer_norm_cuda.h"

#include "cuda/elementwise.cuh"
#include "cuda/reduce.cuh"
#include "ops/layer_norm/layer_norm.h"

namespace noisewright::cuda {

namespace {

template <class T>
__device__ inline void layer_norm_forward(const LayerNormParams& p, bool wide) {
  SHARED(float, part, [gpu::kWarpSize]);
  const int64_t row = blockIdx.x, first = threadIdx.x * 8, step = int64_t{blockDim.x} * 8;
  const T* x = static_cast<const T*>(p.x) + row * p.c;
  float sum = 0.0f, squares = 0.0f;
  for (int64_t i = first; i < p.c; i += step) {
    const gpu::Eight v = gpu::load_eight(x + i, wide, p.c - i);
    for (int k = 0; k < 8; k++) sum += v.v[k];
  }
  const float mean = gpu::reduce_block<gpu::Sum>(sum, part) / static_cast<float>(p.c);
  for (int64_t i = first; i < p.c; i += step) {
    const gpu::Eight v = gpu::load_eight(x + i, wide, p.c - i);
    for (int k = 0; k < 8 && i + k < p.c; k++) squares = fmaf(v.v[k] - mean, v.v[k] - mean, squares);
  }
  const float variance = gpu::reduce_block<gpu::Sum>(squares, part) / static_cast<float>(p.c);
  const float rstd = 1.0f / sqrtf(variance + p.eps);
  for (int64_t i = first; i < p.c; i += step) {
    gpu::Eight v = gpu::load_eight(x + i, wide, p.c - i);
    const gpu::Eight weight = gpu::load_eight_any(p.weight, p.weight_dtype, i, wide, p.c - i);
    const gpu::Eight bias = gpu::load_eight_any(p.bias, p.bias_dtype, i, wide, p.c - i);
    for (int k = 0; k < 8; k++) v.v[k] = fmaf((v.v[k] - mean) * rstd, weight.v[k], bias.v[k]);
    gpu::store_eight(static_cast<T*>(p.y) + row * p.c + i, v, wide, p.c - i);
  }
  if (threadIdx.x != 0) return;
  p.mean[row] = mean;
  p.rstd[row] = rstd;
}

template <class T>
__device__ inline void layer_norm_input(const LayerNormBackwardParams& p, bool wide) {
  SHARED(float, part, [gpu::kWarpSize]);
  const int64_t row = blockIdx.x, first = threadIdx.x * 8, step = int64_t{blockDim.x} * 8;
  const T *dy = static_cast<const T*>(p.dy) + row * p.c, *x = static_cast<const T*>(p.x) + row * p.c;
  const float mean = p.mean[row], rstd = p.rstd[row], scale = 1.0f / static_cast<float>(p.c);
  // weight dy and xhat from element i on; both 0 past the end.
  const auto load = [&](int64_t i, gpu::Eight* g, gpu::Eight* xhat) {
    *g = gpu::load_eight(dy + i, wide, p.c - i);
    *xhat = gpu::load_eight(x + i, wide, p.c - i);
    const gpu::Eight weight = gpu::load_eight_any(p.weight, p.weight_dtype, i, wide, p.c - i);
    for (int k = 0; k < 8; k++) {
      g->v[k] = g->v[k] * weight.v[k];
      xhat->v[k] = (xhat->v[k] - mean) * rstd;
    }
  };
  float a = 0.0f, b = 0.0f;
  gpu::Eight g, xhat;
  for (int64_t i = first; i < p.c; i += step) {
    load(i, &g, &xhat);
    for (int k = 0; k < 8; k++) {
      a += g.v[k];
      b = fmaf(g.v[k], xhat.v[k], b);
    }
  }
  a = gpu::reduce_block<gpu::Sum>(a, part) * scale;
  b = gpu::reduce_block<gpu::Sum>(b, part) * scale;
  for (int64_t i = first; i < p.c; i += step) {
    load(i, &g, &xhat);
    for (int k = 0; k < 8; k++) g.v[k] = rstd * fmaf(-xhat.v[k], b, g.v[k] - a);
    gpu::store_eight(static_cast<T*>(p.dx) + row * p.c + i, g, wide, p.c - i);
  }
}

template <class T>
__device__ inline void layer_norm_partial(const LayerNormBackwardParams& p, const LayerNormScratch& s) {
  const int64_t channel = int64_t{blockIdx.y} * kLayerNormThreads + threadIdx.x, begin = blockIdx.x * s.chunk;
  if (channel >= p.c) return;
  const int64_t end = begin + s.chunk < p.rows ? begin + s.chunk : p.rows;
  float sum = 0.0f, products = 0.0f;
  for (int64_t row = begin; row < end; row++) {
    const float dy = gpu::load(static_cast<const T*>(p.dy) + row * p.c + channel);
    const float x = gpu::load(static_cast<const T*>(p.x) + row * p.c + channel);
    sum += dy;
    products = fmaf(dy, (x - p.mean[row]) * p.rstd[row], products);
  }
  float* out = s.partials + blockIdx.x * 2 * p.c + channel;
  out[0] = sum;
  out[p.c] = products;
}

__device__ inline void layer_norm_parameters(const LayerNormBackwardParams& p, const LayerNormScratch& s) {
  const int64_t channel = int64_t{blockIdx.x} * kLayerNormThreads + threadIdx.x;
  if (channel >= p.c) return;
  double sum = 0.0, products = 0.0;
  for (int64_t k = 0; k < s.chunks; k++) {
    sum += static_cast<double>(s.partials[k * 2 * p.c + channel]);
    products += static_cast<double>(s.partials[(k * 2 + 1) * p.c + channel]);
  }
  if (p.dbias) p.dbias[channel] = static_cast<float>(sum);
  if (p.dweight) p.dweight[channel] = static_cast<float>(products);
}

}  // namespace

FLOAT_KERNELS(layer_norm_forward, LayerNormParams);

// Two blocks at least: without a number nvcc spills on sm_120 to make room for more.
#define INPUT_KERNEL(type, T)                                                           \
  extern "C" __global__ void __launch_bounds__(::noisewright::cuda::kElementThreads, 2) \
      layer_norm_input_##type##_kernel(LayerNormBackwardParams p, bool wide) {          \
    layer_norm_input<T>(p, wide);                                                       \
  }                                                                                     \
  KERNEL(layer_norm_input_##type##_kernel)

INPUT_KERNEL(f32, float);
INPUT_KERNEL(bf16, bfloat16);
INPUT_KERNEL(f16, float16);

#define PARTIAL_KERNEL(type, T)                                                           \
  extern "C" __global__ void __launch_bounds__(kLayerNormThreads)                         \
      layer_norm_partial_##type##_kernel(LayerNormBackwardParams p, LayerNormScratch s) { \
    layer_norm_partial<T>(p, s);                                                          \
  }                                                                                       \
  KERNEL(layer_norm_partial_##type##_kernel)

PARTIAL_KERNEL(f32, float);
PARTIAL_KERNEL(bf16, bfloat16);
PARTIAL_KERNEL(f16, float16);

extern "C" __global__ void __launch_bounds__(kLayerNormThreads)
    layer_norm_parameters_kernel(LayerNormBackwardParams p, LayerNormScratch s) {
  layer_norm_parameters(p, s);
}
KERNEL(layer_norm_parameters_kernel);

}  // namespace noisewright::cuda

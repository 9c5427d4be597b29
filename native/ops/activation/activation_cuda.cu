// Memory bound: every operand is read once and the result written once. Formulas are those of the CPU kernel, with the
// GPU's own expf and erff. Which function is asked for is the same for all threads, so choosing it costs nothing.
#include "cuda/elementwise.cuh"
#include "ops/activation/activation.h"

namespace noisewright::cuda {

namespace {

__device__ inline float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

__device__ inline float gelu(float x) {
  const float half = 0.5f * x;
  return fmaf(half, erff(0.70710678f * x), half);
}

// gelu'(x) = Phi(x) + x phi(x), phi(x) = e^(-x^2/2) / sqrt(2 pi).
__device__ inline void gelu_parts(float x, float* cdf, float* slope) {
  const float z = 0.70710678f * x;
  *cdf = fmaf(0.5f, erff(z), 0.5f);
  *slope = fmaf(x * 0.39894228f, expf(-(z * z)), *cdf);
}

__device__ inline float value(Activation kind, float x) {
  if (kind == Activation::kGelu) return gelu(x);
  return x * sigmoid(kind == Activation::kSilu ? x : 1.702f * x);
}

__device__ inline float derivative(Activation kind, float x) {
  if (kind == Activation::kGelu) {
    float cdf, slope;
    gelu_parts(x, &cdf, &slope);
    return slope;
  }
  const float z = kind == Activation::kSilu ? x : 1.702f * x, s = sigmoid(z);
  return s * fmaf(z, 1.0f - s, 1.0f);
}

template <class T>
__device__ inline void activation_forward(const ActivationParams& p, bool wide) {
  const int64_t i = gpu::first_element(), left = p.count - i;
  if (left <= 0) return;
  gpu::Eight x = gpu::load_eight(static_cast<const T*>(p.x) + i, wide, left);
  for (float& element : x.v) element = value(p.kind, element);
  gpu::store_eight(static_cast<T*>(p.y) + i, x, wide, left);
}

template <class T>
__device__ inline void activation_backward(const ActivationParams& p, bool wide) {
  const int64_t i = gpu::first_element(), left = p.count - i;
  if (left <= 0) return;
  const gpu::Eight x = gpu::load_eight(static_cast<const T*>(p.x) + i, wide, left);
  gpu::Eight dy = gpu::load_eight(static_cast<const T*>(p.dy) + i, wide, left);
  for (int k = 0; k < 8; k++) dy.v[k] = dy.v[k] * derivative(p.kind, x.v[k]);
  gpu::store_eight(static_cast<T*>(p.y) + i, dy, wide, left);
}

// Calls body(row, column, left) for what a thread computes of [rows, half]: once for eight neighbours in a row, where
// rows are whole eights (wide); otherwise for each of its elements, with left = 1.
template <class Body>
__device__ inline void for_gates(const GegluParams& p, bool wide, Body body) {
  const int64_t first = gpu::first_element(), count = p.rows * p.half;
  for (int64_t i = first; i < first + kElementsPerThread && i < count; i += wide ? kElementsPerThread : 1) {
    const gpu::Division at = gpu::divide(i, p.half);
    body(at.quotient, at.remainder, wide ? kElementsPerThread : 1);
  }
}

template <class T>
__device__ inline void geglu_forward(const GegluParams& p, bool wide) {
  for_gates(p, wide, [&](int64_t row, int64_t column, int64_t left) {
    const T* u = static_cast<const T*>(p.x) + row * 2 * p.half + column;
    gpu::Eight y = gpu::load_eight(u, wide, left);
    const gpu::Eight gate = gpu::load_eight(u + p.half, wide, left);
    for (int k = 0; k < 8 && k < left; k++) y.v[k] = y.v[k] * gelu(gate.v[k]);
    gpu::store_eight(static_cast<T*>(p.y) + row * p.half + column, y, wide, left);
  });
}

template <class T>
__device__ inline void geglu_backward(const GegluParams& p, bool wide) {
  for_gates(p, wide, [&](int64_t row, int64_t column, int64_t left) {
    const T* u = static_cast<const T*>(p.x) + row * 2 * p.half + column;
    gpu::Eight du = gpu::load_eight(static_cast<const T*>(p.dy) + row * p.half + column, wide, left);
    gpu::Eight dv = gpu::load_eight(u, wide, left);
    const gpu::Eight gate = gpu::load_eight(u + p.half, wide, left);
    for (int k = 0; k < 8 && k < left; k++) {
      float cdf, slope;
      gelu_parts(gate.v[k], &cdf, &slope);
      dv.v[k] = du.v[k] * dv.v[k] * slope;
      du.v[k] = du.v[k] * (gate.v[k] * cdf);
    }
    T* out = static_cast<T*>(p.y) + row * 2 * p.half + column;
    gpu::store_eight(out, du, wide, left);
    gpu::store_eight(out + p.half, dv, wide, left);
  });
}

}  // namespace

FLOAT_KERNELS(activation_forward, ActivationParams);
FLOAT_KERNELS(activation_backward, ActivationParams);
FLOAT_KERNELS(geglu_forward, GegluParams);
FLOAT_KERNELS(geglu_backward, GegluParams);

}  // namespace noisewright::cuda

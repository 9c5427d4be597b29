// The activations of activation_simd.h on the GPU.
#pragma once
#include "cuda/gpu.h"
#include "ops/matmul/activation.h"

namespace noisewright::cuda {
namespace {

__device__ inline float logistic(float x) { return 1.0f / (1.0f + expf(-x)); }

__device__ inline float activate(Activation activation, float x) {
  switch (activation) {
    case Activation::kNone:
      return x;
    case Activation::kSilu:
      return x * logistic(x);
    case Activation::kGelu:
      return 0.5f * x * (1.0f + erff(x * 0.70710678f));
    case Activation::kQuickGelu:
      return x * logistic(1.702f * x);
  }
  return x;
}

// d activate(x) / dx
__device__ inline float activation_slope(Activation activation, float x) {
  switch (activation) {
    case Activation::kNone:
      return 1.0f;
    case Activation::kSilu: {
      const float s = logistic(x);
      return s * fmaf(x, 1.0f - s, 1.0f);
    }
    case Activation::kGelu:
      return fmaf(x, 0.39894228f * expf(-0.5f * x * x), 0.5f * (1.0f + erff(x * 0.70710678f)));
    case Activation::kQuickGelu: {
      const float t = 1.702f * x, s = logistic(t);
      return s * fmaf(t, 1.0f - s, 1.0f);
    }
  }
  return 1.0f;
}

}  // namespace
}  // namespace noisewright::cuda

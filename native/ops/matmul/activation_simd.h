// Activations and their derivatives on vectors; for kernel files only.
#pragma once
#include "core/elementary.h"
#include "core/simd.h"
#include "ops/matmul/activation.h"

namespace noisewright::NOISEWRIGHT_TARGET {
namespace {

NW_INLINE Vec activate(Activation activation, Vec x) {
  switch (activation) {
    case Activation::kNone:
      return x;
    case Activation::kSilu:
      return x * sigmoid(x);
    case Activation::kGelu:
      return broadcast(0.5f) * x * (broadcast(1.0f) + erf(x * broadcast(0.70710678f)));
    case Activation::kQuickGelu:
      return x * sigmoid(broadcast(1.702f) * x);
  }
  return x;
}

// d activate(x) / dx
NW_INLINE Vec activation_slope(Activation activation, Vec x) {
  const Vec one = broadcast(1.0f);
  switch (activation) {
    case Activation::kNone:
      return one;
    case Activation::kSilu: {
      const Vec s = sigmoid(x);
      return s * fma(x, one - s, one);
    }
    case Activation::kGelu: {
      const Vec density = broadcast(0.39894228f) * exp(broadcast(-0.5f) * x * x);
      return fma(x, density, broadcast(0.5f) * (one + erf(x * broadcast(0.70710678f))));
    }
    case Activation::kQuickGelu: {
      const Vec t = broadcast(1.702f) * x, s = sigmoid(t);
      return s * fma(t, one - s, one);
    }
  }
  return one;
}

}  // namespace
}  // namespace noisewright::NOISEWRIGHT_TARGET

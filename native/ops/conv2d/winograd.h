// The fast convolution F(4x4, 3x3), stride 1, for kernel files. Called from the operation's thread.
#pragma once
#include <cstdint>

#include "core/dtype.h"

namespace noisewright::NOISEWRIGHT_TARGET {

struct Winograd {
  const void* x;  // [n, h, w, ci]
  int64_t n, h, w, ci;
  bool upsample;  // x is seen at twice its size
  int64_t co, ho, wo;
  int64_t top, left;   // padding
  const void* weight;  // [co, 3, 3, ci], or [ci, 3, 3, co] with backward
  DType weight_dtype;
  bool backward;
  const float* transformed;  // the weights from winograd_weights, or null
  DType dtype;               // of x, residual, y
  const float* bias;         // null, [co], or [n, co] with bias_per_image
  bool bias_per_image;
  const void* residual;
  void* y;  // [n, ho, wo, co]
};

void winograd(const Winograd& g);

}  // namespace noisewright::NOISEWRIGHT_TARGET

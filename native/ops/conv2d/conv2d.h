// y = convolution of x (optionally enlarged to twice its size first) + bias + time embedding + residual, channels last.
#pragma once
#include "core/cpu_target.h"
#include "core/dtype.h"

namespace noisewright {

struct Conv2dShape {
  int64_t n, h, w, ci;  // of x as it is stored
  int64_t co, kh, kw;
  int64_t ho, wo;
  int64_t stride, top, left;  // padding; ho and wo imply that of the other sides
  bool upsample;
  int64_t taps() const { return kh * kw; }
};

struct Conv2dParams {
  Conv2dShape s;
  const void* x;         // [n, h, w, ci]
  const void* weight;    // [co, kh, kw, ci]
  const void* bias;      // [co] or null
  const void* time;      // [n, co] or null
  const void* residual;  // [n, ho, wo, co] or null
  void* y;               // [n, ho, wo, co]
  DType dtype;           // of x, residual, y
  DType weight_dtype, bias_dtype, time_dtype;
  bool winograd;
  const float* transformed;  // with winograd: the weights from winograd_weights, or null
};

// Outputs that are null are not wanted.
struct Conv2dBackwardParams {
  Conv2dShape s;
  const void* dy;
  const void* x;
  const void* weight;
  void* dx;
  float* dweight;
  float* dbias;
  float* dtime;  // [n, co]
  DType dtype;   // of dy, x, dx
  DType weight_dtype;
  bool winograd;             // for dx
  const float* transformed;  // as above, made with backward
};

// The weights as the fast convolution F(4x4, 3x3) wants them: 36 matrices, packed for the tiles of the target in force.
struct WinogradWeightsParams {
  const void* weight;  // [co, 3, 3, ci]
  DType dtype;
  int64_t ci, co;
  bool backward;  // for dx: taps flipped, ci and co exchanged
  float* to;      // winograd_weights_size numbers
};

constexpr int64_t winograd_weights_size(int64_t ci, int64_t co, bool backward) {
  const int64_t lines = backward ? ci : co, k = backward ? co : ci;
  return 36 * ((lines + 31) / 32 * 32) * k;
}

// Whether the fast 3x3 convolution is faster for an h x w result when its weights are transformed for one call. On the
// device thread.
bool fast_convolution_wins(const Conv2dShape& s, int64_t h, int64_t w, bool bfloat16_product);

CPU_KERNEL_BF16(conv2d_forward, Conv2dParams)
CPU_KERNEL_BF16(conv2d_backward, Conv2dBackwardParams)
CPU_KERNEL_BF16(winograd_weights, WinogradWeightsParams)

namespace cuda {
void conv2d_forward(const Conv2dParams& p);
void conv2d_backward(const Conv2dBackwardParams& p);
}  // namespace cuda

}  // namespace noisewright

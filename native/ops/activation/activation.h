// y = f(x) element by element for silu, gelu and quickGelu, and geglu, whose gate goes through gelu:
//   silu(x) = x s(x),  quickGelu(x) = x s(1.702 x),  gelu(x) = x (1 + erf(x / sqrt 2)) / 2,  s the logistic function.
#pragma once
#include "core/cpu_target.h"
#include "core/dtype.h"

namespace noisewright {

enum class Activation : int32_t { kSilu, kGelu, kQuickGelu };

// dy is null in the forward pass (y = f(x)); otherwise y receives dx = dy f'(x).
struct ActivationParams {
  const void* x;
  const void* dy;
  void* y;
  int64_t count;
  DType dtype;
  Activation kind;
};

// x is [rows, 2 half], the value u first and the gate v second. Forward: y [rows, half] = u gelu(v).
// Backward (dy not null): y [rows, 2 half] receives du = dy gelu(v) and dv = dy u gelu'(v).
struct GegluParams {
  const void* x;
  const void* dy;
  void* y;
  int64_t rows, half;
  DType dtype;
};

CPU_KERNEL(activation_forward, ActivationParams)
CPU_KERNEL(activation_backward, ActivationParams)
CPU_KERNEL(geglu_forward, GegluParams)
CPU_KERNEL(geglu_backward, GegluParams)
namespace cuda {
void activation_forward(const ActivationParams&);
void activation_backward(const ActivationParams&);
void geglu_forward(const GegluParams&);
void geglu_backward(const GegluParams&);
}  // namespace cuda

}  // namespace noisewright

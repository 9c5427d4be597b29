// y = softmax(x) along the last axis, and dx = y * (dy - sum(dy * y)).
#pragma once
#include "core/cpu_target.h"
#include "core/dtype.h"

namespace noisewright {

struct SoftmaxForwardParams {
  const void* x;
  void* y;
  int64_t rows, columns;  // packed
  DType dtype;
};

struct SoftmaxBackwardParams {
  const void* dy;
  const void* y;
  void* dx;
  int64_t rows, columns;
  DType dtype;
};

CPU_KERNEL(softmax_forward, SoftmaxForwardParams)
CPU_KERNEL(softmax_backward, SoftmaxBackwardParams)
namespace cuda {
void softmax_forward(const SoftmaxForwardParams&);
void softmax_backward(const SoftmaxBackwardParams&);
}  // namespace cuda

}  // namespace noisewright

// Changes of one tensor in place: y += x, y = x, y *= factor. Element types may differ; arithmetic is float32.
#pragma once
#include "core/cpu_target.h"
#include "core/dtype.h"

namespace noisewright {

enum class InPlaceOp : int32_t { kAdd, kCopy, kScale };

struct AccumulateParams {
  void* y;
  const void* x;  // null for kScale
  int64_t count;
  float factor;  // kScale; 0 also clears NaN
  InPlaceOp op;
  DType dtype;  // of y
  DType x_dtype;
};

CPU_KERNEL(accumulate_forward, AccumulateParams)
namespace cuda {
void accumulate_forward(const AccumulateParams&);
}

}  // namespace noisewright

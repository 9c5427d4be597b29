// y = factor x.
#pragma once
#include "core/cpu_target.h"
#include "core/dtype.h"

namespace noisewright {

struct ScaleParams {
  const void* x;
  void* y;
  int64_t count;
  float factor;
  DType dtype;
};

CPU_KERNEL(scale_forward, ScaleParams)
namespace cuda {
void scale_forward(const ScaleParams&);
}

}  // namespace noisewright

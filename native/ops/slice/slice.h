// The gradient of a slice: dy in its place, zeros around it. dx is [outer, before + middle + after], dy [outer,
// middle], sizes in bytes.
#pragma once
#include "core/cpu_target.h"
#include "core/dtype.h"

namespace noisewright {

struct PadParams {
  const void* dy;
  void* dx;
  int64_t outer, before, middle, after;
};

CPU_KERNEL(slice_backward, PadParams)
namespace cuda {
void slice_backward(const PadParams&);
}

}  // namespace noisewright

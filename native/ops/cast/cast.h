// y = x in another element type. To smaller floats: to nearest, ties to even; beyond float8_e4m3fn: its largest. Floats
// to integers: towards zero, held within the range of the integer, NaN becomes 0. To bool: whether x is not 0.
#pragma once
#include "core/cpu_target.h"
#include "core/dtype.h"

namespace noisewright {

struct CastParams {
  const void* x;
  void* y;
  int64_t count;
  DType from, to;
};

CPU_KERNEL(cast_forward, CastParams)
namespace cuda {
void cast_forward(const CastParams&);
}

}  // namespace noisewright

// A parameter as files hold it: in their layout and element type, in one pass.
#pragma once
#include "core/cpu_target.h"
#include "core/dtype.h"

namespace noisewright {

// In memory [rows, taps, channels], in the file [rows, channels, taps].
struct StoreParameterParams {
  const void* x;
  DType from;  // any float type
  int64_t rows, channels, taps;
  void* y;
  DType to;  // any float type
};

CPU_KERNEL(store_parameter, StoreParameterParams)

}  // namespace noisewright

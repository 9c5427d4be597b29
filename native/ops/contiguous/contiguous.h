// Copies between strided layouts of one shape and one item size. A stride of 0 in x repeats.
#pragma once
#include "core/cpu_target.h"
#include "core/dtype.h"

namespace noisewright {

// Six axes, merged where both layouts allow; strides in elements. y's innermost stride is 1.
struct CopyParams {
  const void* x;
  void* y;
  int64_t shape[6];
  int64_t x_strides[6];
  int64_t y_strides[6];
  int64_t item;  // bytes: 1, 2, 4 or 8
};

CPU_KERNEL(copy_strided, CopyParams)
namespace cuda {
void copy_strided(const CopyParams&);
void copy_bytes(const void* x, void* y, int64_t bytes);
}  // namespace cuda

}  // namespace noisewright

// Sums over one axis: y[o, i] = factor * sum over r of x[o, r, i] z[o, r, i], float32, in a fixed tree. z may be null
// (ones).
#pragma once
#include "core/cpu_target.h"
#include "core/dtype.h"

namespace noisewright {

struct ReduceParams {
  const void* x;  // [outer, terms, inner] packed
  const void* z;  // like x, or null
  float* y;       // [outer, inner]
  int64_t outer, terms, inner;
  float factor;
  DType dtype;  // of x and z
};

CPU_KERNEL(reduce_forward, ReduceParams)

}  // namespace noisewright

// Describes a copy for the kernel of contiguous.h; shared by the ops that move elements without changing them.
#pragma once
#include "core/tensor.h"
#include "ops/contiguous/contiguous.h"

namespace noisewright {

// From x, strided, to a window of the same shape in a buffer with strides y_strides. The pointers are left for the job
// to fill in.
CopyParams copy_params(const Tensor& x, const Shape& y_strides);

}  // namespace noisewright

// Tensors on their way from the CPU to another device.
#pragma once
#include "core/tensor.h"

namespace noisewright {

// What `x`, a packed tensor of the CPU, holds once the work enqueued for it has run, on another device. Enqueues on both
// and does not wait: `device` waits for x when it gets there. What spoilt x spoils the result.
Tensor copy_to(const char* op, const Tensor& x, Device* device);

}  // namespace noisewright

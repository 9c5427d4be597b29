// Bytes from a tensor of one device to a tensor of another.
#pragma once
#include "core/tensor.h"

namespace noisewright {

// y = x for contiguous tensors of one shape and dtype on two devices. Enqueues and never waits; the thread of y's
// device waits for that of x. It waits only for what was enqueued before, so two such copies cannot wait for each
// other.
void copy_between_devices(const char* op, const Tensor& y, const Tensor& x);

}  // namespace noisewright

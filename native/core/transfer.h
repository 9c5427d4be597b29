// Bytes from a tensor of one device to a tensor of another. Both functions enqueue and never wait; the thread of the
// device that receives waits for x's bytes when it gets there, and only for what was enqueued before: two such copies
// cannot wait for each other. What spoilt x is the failure of the copy too.
#pragma once
#include "core/tensor.h"

namespace noisewright {

// y = x for contiguous tensors of one shape and dtype on two devices.
void copy_between_devices(const char* op, const Tensor& y, const Tensor& x);

// What `x`, a packed tensor of the CPU that nothing changes any more, holds, on another device.
Tensor copy_to(const char* op, const Tensor& x, Device* device);

// Makes the next read of anything on the tensors' device fail where an op that was to fill one of them has failed. They
// must be on one device.
void expect_filled(std::vector<Tensor> tensors);

}  // namespace noisewright

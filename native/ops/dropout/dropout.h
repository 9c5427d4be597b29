// y = x / (1 - p) where element i is kept, 0 elsewhere. Word i % 4 of Philox block i / 4 decides, so that the same
// stream gives the same mask: backward is the forward pass over dy.
#pragma once
#include "core/cpu_target.h"
#include "core/dtype.h"
#include "core/philox.h"

namespace noisewright {

struct DropoutParams {
  const void* x;
  void* y;
  int64_t count;
  PhiloxStream stream;
  uint32_t threshold;  // an element is kept when the upper 24 bits of its word are at least this: p 2^24
  float factor;        // 1 / (1 - p)
  DType dtype;
};

CPU_KERNEL(dropout_forward, DropoutParams)
namespace cuda {
void dropout_forward(const DropoutParams&);
}

}  // namespace noisewright

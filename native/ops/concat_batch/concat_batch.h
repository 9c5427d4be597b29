// Tensors of one trailing shape, one after the other along the first axis: a copy of bytes.
#pragma once
#include <cstdint>

#include "core/cpu_target.h"

namespace noisewright {

struct ConcatBatchParams {
  const void* const* parts;
  const int64_t* bytes;  // of each part
  int64_t count;
  void* y;
};

CPU_KERNEL(concat_batch_forward, ConcatBatchParams)
namespace cuda {
void concat_batch_forward(const ConcatBatchParams&);
}

}  // namespace noisewright

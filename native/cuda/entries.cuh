// Kernels that go through a list of tensors. A tensor's elements are cut into tasks; an Entry has first_task, the
// number of tasks of all tensors before it.
#pragma once
#include "cuda/gpu.h"

namespace noisewright::gpu {

// The last entry whose tasks start at or before this one.
template <class Params>
__device__ inline const auto& entry_of(const Params& p, int64_t task) {
  int64_t low = 0, high = p.entry_count - 1;
  while (low < high) {
    const int64_t middle = (low + high + 1) / 2;
    if (p.entries[middle].first_task <= task)
      low = middle;
    else
      high = middle - 1;
  }
  return p.entries[low];
}

}  // namespace noisewright::gpu

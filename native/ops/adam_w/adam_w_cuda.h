// What the kernel of adam_w_cuda.cu and its host code in adam_w_cuda.cpp agree on.
#pragma once
#include "core/quantization.h"

namespace noisewright::cuda {

constexpr int kAdamWThreads = kQuantizationBlock;  // one for each element of a block
constexpr int kAdamWSlices = 8;                    // thread blocks that share a task

struct AdamWTables {
  float signed_value[256], signed_midpoint[256], unsigned_value[256], unsigned_midpoint[256];
};

}  // namespace noisewright::cuda

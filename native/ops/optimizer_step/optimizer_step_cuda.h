// What the kernels of optimizer_step_cuda.cu and their host code in optimizer_step_cuda.cpp agree on.
#pragma once
#include "core/quantization.h"

namespace noisewright::cuda {

constexpr int kOptimizerThreads = kQuantizationBlock;  // one for each element of a block
constexpr int kOptimizerSlices = 8;                    // thread blocks that share a task

struct OptimizerTables {
  float signed_value[256], signed_midpoint[256], unsigned_value[256], unsigned_midpoint[256];
};

}  // namespace noisewright::cuda

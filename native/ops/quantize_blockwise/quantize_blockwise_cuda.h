// What the kernels of quantize_blockwise_cuda.cu and their host code in quantize_blockwise_cuda.cpp agree on.
#pragma once
#include <cstdint>

#include "core/quantization.h"

namespace noisewright::cuda {

constexpr int kQuantizeThreads = kQuantizationBlock;  // one for each element of a block

struct QuantizeTables {
  float value[256], midpoint[256];
  int32_t zero;
};

}  // namespace noisewright::cuda

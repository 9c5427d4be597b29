// What the kernel of linear_cuda.cu and its host code in linear_cuda.cpp agree on.
#pragma once
#include <cstdint>

#include "ops/matmul/activation.h"

namespace noisewright::cuda {

constexpr int kSlopeThreads = 256;
constexpr int kSlopePerThread = 8;  // elements

// to = dy * slope of the activation at pre
struct SlopeParams {
  const void* dy;
  const void* pre;
  void* to;
  int64_t count;
  Activation activation;
  bool wide;  // whether gpu::load8 fits all three
};

}  // namespace noisewright::cuda

// What the kernels of layer_norm_cuda.cu and their host code in layer_norm_cuda.cpp agree on.
#pragma once
#include <cstdint>

namespace noisewright::cuda {

constexpr int kLayerNormThreads = 256;  // of a block that sums columns

// The gradients of weight and bias: sums of [chunks] runs of rows, then of those.
struct LayerNormScratch {
  float* partials;  // [chunks, 2, c]: of dy, of dy xhat
  int64_t chunk;    // rows
  int64_t chunks;
};

}  // namespace noisewright::cuda

// What the kernels of group_norm_cuda.cu and their host code in group_norm_cuda.cpp agree on.
#pragma once
#include <cstdint>

namespace noisewright::cuda {

constexpr int kNormThreads = 256;
constexpr int kNormWarps = kNormThreads / 32;
constexpr int kNormPerThread = 8;  // elements of a thread where each is computed by itself

struct GroupNormScratch {
  float* partials;   // forward [n, chunks, groups, 3]; backward [n, chunks, 2, c]
  float* totals;     // backward [n, 2, c]
  float* constants;  // forward [n, groups], what mean lacks; backward [n, groups, 2], offset and slope of dx
  int32_t chunk;     // pixels
  int32_t chunks;
  bool wide;  // whether gpu::load8 fits x, dy and the output
};

}  // namespace noisewright::cuda

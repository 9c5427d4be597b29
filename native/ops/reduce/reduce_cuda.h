// What the kernels of reduce_cuda.cu and their host code in reduce_cuda.cpp agree on.
#pragma once
#include <cstdint>

namespace noisewright::cuda {

constexpr int kReduceThreads = 256;
constexpr int64_t kReduceChunk = 8192;  // terms of a row that a thread block sums

struct ReduceScratch {
  float* partials;  // [outer, chunks, inner]; y itself where there is one chunk
  int64_t chunk;    // terms
  int64_t chunks;
  float factor;  // of what goes to partials: the result's where there is one chunk, else 1
  bool wide;
};

}  // namespace noisewright::cuda

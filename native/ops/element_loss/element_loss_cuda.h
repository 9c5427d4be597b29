// What the kernels of element_loss_cuda.cu and their host code in element_loss_cuda.cpp agree on.
#pragma once
#include <cstdint>

namespace noisewright::cuda {

constexpr int kLossThreads = 256;
constexpr int kLossPerThread = 16;                         // elements, in two runs of eight
constexpr int kLossChunk = kLossThreads * kLossPerThread;  // elements of a sample that a thread block takes

struct ElementLossScratch {
  double* sums;    // [samples, chunks] (forward)
  int64_t chunks;  // of a sample
  bool wide;       // whether every eight neighbours of a sample may be loaded at once
};

}  // namespace noisewright::cuda

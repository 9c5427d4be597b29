// What the kernels of muon_step_cuda.cu and their host code in muon_step_cuda.cpp agree on.
#pragma once
#include "ops/muon_step/muon_step.h"

namespace noisewright::cuda {

constexpr int kMuonThreads = 256;
constexpr int64_t kMuonMostMatrices = 32768;  // that are multiplied together: the grid's third side is below 65536

// Matrices of one shape, side by side.
struct MuonBatch {
  void* matrices;  // float32 or bfloat16
  double* sums;    // [matrices, blocks of each]: squares
};

// y = factor x + z, each of the two operations rounded to the type, as the published code does it in bfloat16; z may be
// null.
struct MuonSum {
  float factor;
  const void *x, *z;
  void* y;
  int64_t count;
};

}  // namespace noisewright::cuda

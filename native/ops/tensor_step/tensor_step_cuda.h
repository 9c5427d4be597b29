// What the kernels of tensor_step_cuda.cu and their host code in tensor_step_cuda.cpp agree on.
#pragma once
#include "ops/tensor_step/tensor_step.h"

namespace noisewright::cuda {

constexpr int kTensorThreads = 256;
constexpr int kTensorWarps = kTensorThreads / 32;
constexpr int kTensorStrip = 128;  // columns that a warp takes at a time, four neighbours for each lane

// What the kernels of a step tell each other.
struct TensorWork {
  float* floats;            // sums over rows and mean sums of all tensors; CAME: then those of the squared errors
  int64_t partials, means;  // how many
  double* sums;             // [blocks, 2]
  float* results;           // [tensors, 2]
};

}  // namespace noisewright::cuda

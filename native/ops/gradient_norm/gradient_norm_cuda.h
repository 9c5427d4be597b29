// What the kernels of gradient_norm_cuda.cu and their host code in gradient_norm_cuda.cpp agree on.
#pragma once
#include "ops/gradient_norm/gradient_norm.h"

namespace noisewright::cuda {

constexpr int kGradientNormThreads = 256;
constexpr int kGradientNormJoinThreads = 1024;

}  // namespace noisewright::cuda

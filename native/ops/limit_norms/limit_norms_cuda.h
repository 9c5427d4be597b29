// What the kernels of limit_norms_cuda.cu and their host code in limit_norms_cuda.cpp agree on.
#pragma once
#include <cstdint>

#include "ops/limit_norms/limit_norms.h"

namespace noisewright::cuda {

constexpr int kLimitThreads = 256;
constexpr int64_t kLimitBlock = kLimitThreads * 8;  // elements of a factor that a thread block scales

// LimitNormsFactor with the product it belongs to.
struct LimitNormsPart {
  float* x;
  int64_t count;
  int64_t product;
};

struct LimitNormsTables {
  const LimitNormsProduct* products;
  const LimitNormsPart* parts;
  float* scales;  // [products], what its factors are multiplied by; 1 where it may stay
};

}  // namespace noisewright::cuda

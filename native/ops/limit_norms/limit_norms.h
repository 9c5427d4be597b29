// Brings products of tensors whose norm is too large down to a maximum, by scaling every factor alike.
#pragma once
#include <cstdint>

#include "core/cpu_target.h"

namespace noisewright {

struct LimitNormsFactor {
  float* x;
  int64_t count;
};

struct LimitNormsProduct {
  const float* square;  // of the product's norm
  double scale;         // what the norm is multiplied by
  int64_t first_factor;
  int64_t factor_count;
};

struct LimitNormsParams {
  const LimitNormsFactor* factors;
  const LimitNormsProduct* products;
  int64_t product_count;
  double max_norm;
  float* y;  // [3]: products scaled, mean and largest norm afterwards
};

CPU_KERNEL(limit_norms, LimitNormsParams)
namespace cuda {
void limit_norms(const LimitNormsParams&);
}

}  // namespace noisewright

// The Euclidean norm of many tensors taken together, and the factor that brings it down to a maximum. The tensors may
// be multiples of the gradients that are meant, as those of a scaled loss are.
#pragma once
#include <cstdint>

#include "core/cpu_target.h"

namespace noisewright {

struct GradientNormEntry {
  const float* x;
  int64_t count;
  int64_t first_task;  // number of chunks of all tensors before this one
};

struct GradientNormParams {
  const GradientNormEntry* entries;
  int64_t entry_count;
  int64_t chunk_count;  // of all tensors
  double max_norm;      // infinite: no clipping
  double multiple;      // of the gradients that the tensors are
  float* y;             // [2]: norm of the gradients, min(1, max_norm / (norm + 1e-6)) / multiple
};

constexpr int64_t kGradientNormChunk = 4096;

CPU_KERNEL(gradient_norm, GradientNormParams)
namespace cuda {
void gradient_norm(const GradientNormParams&);
}

}  // namespace noisewright

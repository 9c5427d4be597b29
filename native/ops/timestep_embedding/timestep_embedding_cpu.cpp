// A few hundred numbers for each sample: computed in float64 and rounded once, because t f_i reaches 999 radians.
#include "ops/timestep_embedding/timestep_embedding.h"

#include <math.h>

#include "core/parallel.h"

namespace noisewright::NOISEWRIGHT_TARGET {

void timestep_embedding_forward(const TimestepEmbeddingParams& p) {
  const double rate = -::log(p.max_period) / static_cast<double>(p.half);
  parallel_for(p.count, [&](int64_t n) {
    const double t = p.dtype == DType::kInt32 ? static_cast<const int32_t*>(p.timesteps)[n]
                                              : static_cast<const float*>(p.timesteps)[n];
    float* y = p.y + n * 2 * p.half;
    for (int64_t i = 0; i < p.half; i++) {
      const double angle = t * ::exp(rate * static_cast<double>(i));
      y[i] = static_cast<float>(::cos(angle));
      y[p.half + i] = static_cast<float>(::sin(angle));
    }
  });
}

}  // namespace noisewright::NOISEWRIGHT_TARGET

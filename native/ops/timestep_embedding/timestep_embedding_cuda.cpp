#include <cmath>

#include "cuda/elementwise.h"
#include "cuda/kernel_name.h"
#include "cuda/launch.h"
#include "ops/timestep_embedding/timestep_embedding.h"

namespace noisewright::cuda {

// Bytes moved: y once; arithmetic, though a few hundred numbers, takes longer.
void timestep_embedding_forward(const TimestepEmbeddingParams& p) {
  const double rate = -std::log(p.max_period) / static_cast<double>(p.half);
  launch_kernel("timestep_embedding_kernel", {blocks_for(p.count * p.half, kElementThreads)}, {kElementThreads}, 0, p,
                rate);
}

}  // namespace noisewright::cuda

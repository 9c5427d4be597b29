#include "ops/timestep_embedding/timestep_embedding.h"

#include "core/launch.h"
#include "ops/ops.h"

namespace noisewright {

Tensor timestep_embedding_forward(const Tensor& timesteps, int64_t dim, double max_period) {
  CHECK("timestepEmbedding", timesteps.rank() == 1 && timesteps.contiguous() && dim % 2 == 0,
        "expected timesteps [n] and an even dim");
  CHECK("timestepEmbedding", timesteps.dtype == DType::kFloat32 || timesteps.dtype == DType::kInt32,
        "timesteps are float32 or int32");
  TimestepEmbeddingParams p{};
  p.count = timesteps.count();
  p.half = dim / 2;
  p.max_period = max_period;
  p.dtype = timesteps.dtype;
  Tensor y = empty(timesteps, {p.count, dim}, DType::kFloat32);
  launch<kRepeatable>("timestepEmbedding", {timesteps}, {y}, [=]() mutable {
    p.timesteps = timesteps.data();
    p.y = y.data_as<float>();
    run_kernel("timestepEmbedding", {cpu::timestep_embedding_forward, cuda::timestep_embedding_forward}, p);
  });
  return y;
}

}  // namespace noisewright

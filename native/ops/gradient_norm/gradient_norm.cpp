#include "ops/gradient_norm/gradient_norm.h"

#include "core/launch.h"
#include "ops/ops.h"

namespace noisewright {

Tensor gradient_norm(std::vector<Tensor> gradients, double max_norm, double multiple) {
  CHECK("gradientNorm", !gradients.empty(), "expected at least one gradient");
  std::vector<GradientNormEntry> entries;
  GradientNormParams p{};
  p.max_norm = max_norm;
  p.multiple = multiple;
  for (const Tensor& g : gradients) {
    CHECK("gradientNorm", g.dtype == DType::kFloat32 && g.contiguous(), "gradients must be contiguous float32");
    entries.push_back({nullptr, g.count(), p.chunk_count});
    p.chunk_count += (g.count() + kGradientNormChunk - 1) / kGradientNormChunk;
  }
  p.entry_count = static_cast<int64_t>(entries.size());
  Tensor y = empty(gradients[0], {2});
  Tensors inputs = gradients;
  launch("gradientNorm", std::move(inputs), {y},
         [p, y, entries = std::move(entries), gradients = std::move(gradients)]() mutable {
           for (size_t i = 0; i < entries.size(); i++) entries[i].x = gradients[i].data_as<float>();
           p.entries = entries.data();
           p.y = y.data_as<float>();
           run_kernel("gradientNorm", {cpu::gradient_norm}, p);
         });
  return y;
}

}  // namespace noisewright

#include "ops/element_loss/element_loss_cuda.h"

#include "core/parallel.h"
#include "cuda/kernel_name.h"
#include "cuda/launch.h"
#include "ops/element_loss/element_loss.h"

namespace noisewright::cuda {

namespace {

std::string types_of(const ElementLossParams& p) {
  return suffix("elementLoss", p.dtype) + suffix("elementLoss", p.target_dtype) + "_kernel";
}

ElementLossScratch scratch_for(const ElementLossParams& p, double* sums) {
  const bool wide = p.size % 8 == 0 && aligned_for_eight({p.prediction, p.target, p.dprediction});
  return {sums, blocks_for(p.size, kLossChunk), wide};
}

}  // namespace

// Bytes moved: prediction and target once, the mask once (forward); the same and dprediction (backward).
void element_loss_forward(const ElementLossParams& p) {
  const int64_t blocks = p.samples * blocks_for(p.size, kLossChunk);
  const Scratch<double> sums(blocks);
  const ElementLossScratch s = scratch_for(p, sums.data);
  launch_kernel(("element_loss" + types_of(p)).c_str(), {blocks}, {kLossThreads}, 0, p, s);
  launch_kernel("element_loss_join_kernel", {1}, {kLossThreads}, 0, p, s);
}

void element_loss_backward(const ElementLossParams& p) {
  const ElementLossScratch s = scratch_for(p, nullptr);
  launch_kernel(("element_loss_backward" + types_of(p)).c_str(), {p.samples * s.chunks}, {kLossThreads}, 0, p, s);
}

}  // namespace noisewright::cuda

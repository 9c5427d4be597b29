#include "cuda/elementwise.h"
#include "cuda/kernel_name.h"
#include "cuda/launch.h"
#include "ops/activation/activation.h"

namespace noisewright::cuda {

namespace {

void launch_activation(const std::string& name, const ActivationParams& p) {
  launch_kernel((name + suffix("activation", p.dtype) + "_kernel").c_str(), {blocks_for(p.count, kElementsPerBlock)},
                {kElementThreads}, 0, p, aligned_for_eight({p.x, p.dy, p.y}));
}

void launch_geglu(const std::string& name, const GegluParams& p) {
  const bool wide = p.half % kElementsPerThread == 0 && aligned_for_eight({p.x, p.dy, p.y});
  launch_kernel((name + suffix("geglu", p.dtype) + "_kernel").c_str(), {blocks_for(p.rows * p.half, kElementsPerBlock)},
                {kElementThreads}, 0, p, wide);
}

}  // namespace

// Bytes moved: x (and dy) once, y once.
void activation_forward(const ActivationParams& p) { launch_activation("activation_forward", p); }
void activation_backward(const ActivationParams& p) { launch_activation("activation_backward", p); }
void geglu_forward(const GegluParams& p) { launch_geglu("geglu_forward", p); }
void geglu_backward(const GegluParams& p) { launch_geglu("geglu_backward", p); }

}  // namespace noisewright::cuda

#include "cuda/elementwise.h"
#include "cuda/kernel_name.h"
#include "cuda/launch.h"
#include "ops/softmax/softmax.h"

namespace noisewright::cuda {

// Bytes moved: x once, y once, as far as a row fits the caches.
void softmax_forward(const SoftmaxForwardParams& p) {
  const bool wide = p.columns % 8 == 0 && aligned_for_eight({p.x, p.y});
  launch_kernel(("softmax_forward" + suffix("softmax", p.dtype) + "_kernel").c_str(), {p.rows},
                {threads_for_row(p.columns)}, 0, p, wide);
}

// Bytes moved: dy and y once, dx once.
void softmax_backward(const SoftmaxBackwardParams& p) {
  const bool wide = p.columns % 8 == 0 && aligned_for_eight({p.dy, p.y, p.dx});
  launch_kernel(("softmax_backward" + suffix("softmax", p.dtype) + "_kernel").c_str(), {p.rows},
                {threads_for_row(p.columns)}, 0, p, wide);
}

}  // namespace noisewright::cuda

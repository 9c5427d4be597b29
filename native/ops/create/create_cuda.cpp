#include "cuda/elementwise.h"
#include "cuda/kernel_name.h"
#include "cuda/launch.h"
#include "ops/create/create.h"

namespace noisewright::cuda {

namespace {

void launch_random(const char* kernel, const RandomParams& p) {
  launch_kernel(kernel, {blocks_for(p.count, kElementsPerBlock)}, {kElementThreads}, 0, p, aligned_for_eight({p.y}));
}

}  // namespace

// Bytes moved: y once.
void fill_forward(const FillParams& p) {
  const int64_t bytes = p.count * static_cast<int64_t>(item_size(p.dtype));
  launch_kernel("fill_kernel", {blocks_for(bytes, 16 * kElementThreads)}, {kElementThreads}, 0, p, bytes);
}

void random_uniform(const RandomParams& p) { launch_random("random_uniform_kernel", p); }
void random_normal(const RandomParams& p) { launch_random("random_normal_kernel", p); }

}  // namespace noisewright::cuda

#include "ops/group_norm/group_norm_cuda.h"
#include "core/parallel.h"
#include "cuda/kernel_name.h"
#include "cuda/launch.h"
#include "ops/group_norm/group_norm.h"

namespace noisewright::cuda {

namespace {

void check_size(int64_t pixels, int64_t c) {
  constexpr int64_t kMost = int64_t{1} << 31;  // kernels count the elements of a sample in 32 bits
  if (pixels * c >= kMost)
    fail(ErrorKind::kInternal, "groupNorm", "a sample on the GPU has at most 2^31 elements, not ", pixels * c);
}

// Scratch is given back while kernels that use it are still to run: its next user comes later in the same stream.

// Finds mean, rstd and what mean lacks. Moves x once.
class Statistics {
 public:
  explicit Statistics(const GroupNormParams& p)
      : chunk_(blocks_for(1024, p.c / p.groups)),
        chunks_(blocks_for(p.pixels, chunk_)),
        partials_(p.n * chunks_ * p.groups * 3),
        constants_(p.n * p.groups) {
    const std::string type = suffix("groupNorm", p.dtype) + "_kernel";
    launch_kernel(("group_norm_partial" + type).c_str(), {chunks_, blocks_for(p.groups, kNormWarps), p.n},
                  {kNormThreads}, 0, p, scratch(false));
    launch_kernel("group_norm_join_kernel", {blocks_for(p.n * p.groups, kNormWarps)}, {kNormThreads}, 0, p,
                  scratch(false));
  }
  GroupNormScratch scratch(bool wide) const {
    return {
        partials_.data, nullptr, constants_.data, static_cast<int32_t>(chunk_), static_cast<int32_t>(chunks_), wide};
  }

 private:
  const int64_t chunk_, chunks_;
  const Scratch<float> partials_, constants_;
};

}  // namespace

// Bytes moved: x twice, y once. The floor is x once.
void group_norm_forward(const GroupNormParams& p) {
  check_size(p.pixels, p.c);
  if (p.n * p.pixels * p.c == 0) return;
  const bool wide = aligned_for_eight({p.x, p.y}) && p.pixels * p.c % kNormPerThread == 0;
  const Statistics statistics(p);
  launch_kernel(("group_norm_apply" + suffix("groupNorm", p.dtype) + "_kernel").c_str(),
                {blocks_for(p.pixels * p.c, kNormThreads * kNormPerThread), p.n}, {kNormThreads}, 0, p,
                statistics.scratch(wide));
}

// Bytes moved: x once, as many as it has to.
void group_norm_statistics(const GroupNormStatisticsParams& p) {
  check_size(p.norm.pixels, p.norm.c);
  const Statistics statistics(p.norm);
  launch_kernel("group_norm_rows_kernel", {blocks_for(p.norm.c, kNormThreads)}, {kNormThreads}, 0, p.norm,
                statistics.scratch(false), p.rows);
}

// Bytes moved: x once, y once, as many as it has to.
void group_norm_apply(const GroupNormApplyParams& p) {
  check_size(p.pixels, p.c);
  const bool wide = aligned_for_eight({p.x, p.y});
  const std::string kernel =
      "group_norm_apply_rows" + suffix("groupNorm", p.dtype) + suffix("groupNorm", p.y_dtype) + "_kernel";
  launch_kernel(kernel.c_str(), {blocks_for(p.pixels * p.c, kNormThreads * kNormPerThread)}, {kNormThreads}, 0, p,
                wide);
}

// Bytes moved: dy and x twice, dx once. The floor is dy and x once.
void group_norm_backward(const GroupNormBackwardParams& p) {
  check_size(p.pixels, p.c);
  if (p.n * p.pixels * p.c == 0) return;
  const std::string type = suffix("groupNorm", p.dtype) + "_kernel";
  // At most 256 chunks of at least 32 pixels: enough blocks to fill a GPU, few enough for one thread to add up.
  const int64_t chunk = p.pixels / 256 < 32 ? 32 : blocks_for(p.pixels, 256), chunks = blocks_for(p.pixels, chunk);
  const Scratch<float> partials(p.n * chunks * 2 * p.c), totals(p.n * 2 * p.c), constants(p.n * p.groups * 2);
  const bool wide = aligned_for_eight({p.x, p.dy, p.dx}) && p.pixels * p.c % kNormPerThread == 0;
  const GroupNormScratch s{
      partials.data, totals.data, constants.data, static_cast<int32_t>(chunk), static_cast<int32_t>(chunks), wide};
  launch_kernel(("group_norm_backward_partial" + type).c_str(), {chunks, blocks_for(p.c, kNormThreads), p.n},
                {kNormThreads}, 0, p, s);
  launch_kernel("group_norm_backward_total_kernel", {blocks_for(p.n * 2 * p.c, kNormThreads)}, {kNormThreads}, 0, p, s);
  if (p.dweight || p.dbias)
    launch_kernel("group_norm_backward_parameters_kernel", {blocks_for(p.c, kNormThreads)}, {kNormThreads}, 0, p, s);
  if (!p.dx) return;
  launch_kernel("group_norm_backward_group_kernel", {blocks_for(p.n * p.groups, kNormWarps)}, {kNormThreads}, 0, p, s);
  launch_kernel(("group_norm_backward_input" + type).c_str(),
                {blocks_for(p.pixels * p.c, kNormThreads * kNormPerThread), p.n}, {kNormThreads}, 0, p, s);
}

}  // namespace noisewright::cuda

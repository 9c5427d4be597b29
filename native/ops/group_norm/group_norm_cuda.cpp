#include "ops/group_norm/group_norm_cuda.h"
#include "core/parallel.h"
#include "cuda/kernel_name.h"
#include "cuda/launch.h"
#include "ops/group_norm/group_norm.h"

namespace noisewright::cuda {

namespace {

void check_parameters(DType weight, DType bias) {
  for (DType dtype : {weight, bias})
    if (dtype == DType::kFloat16) fail(ErrorKind::kInternal, "groupNorm", "has no CUDA kernel for float16 parameters");
}

void check_size(int64_t pixels, int64_t c) {
  constexpr int64_t kMost = int64_t{1} << 31;  // kernels count the elements of a sample in 32 bits
  if (pixels * c >= kMost)
    fail(ErrorKind::kInternal, "groupNorm", "a sample on the GPU has at most 2^31 elements, not ", pixels * c);
}

}  // namespace

// Scratch is given back while kernels that use it are still to run: its next user comes later in the same stream.

void group_norm_forward(const GroupNormParams& p) {
  check_size(p.pixels, p.c);
  check_parameters(p.weight_dtype, p.bias_dtype);
  if (p.n * p.pixels * p.c == 0) return;
  const std::string type = suffix("groupNorm", p.dtype) + "_kernel";
  const int64_t width = p.c / p.groups, chunk = blocks_for(1024, width), chunks = blocks_for(p.pixels, chunk);
  const Scratch<float> partials(p.n * chunks * p.groups * 3), constants(p.n * p.groups);
  const bool four =
      aligned_for_four(p.x, p.dtype) && aligned_for_four(p.y, p.dtype) && p.pixels * p.c % kNormPerThread == 0;
  const GroupNormScratch s{
      partials.data, nullptr, constants.data, static_cast<int32_t>(chunk), static_cast<int32_t>(chunks), four};
  launch_kernel(("group_norm_partial" + type).c_str(), {chunks, blocks_for(p.groups, kNormWarps), p.n}, {kNormThreads},
                0, p, s);
  launch_kernel("group_norm_join_kernel", {blocks_for(p.n * p.groups, kNormWarps)}, {kNormThreads}, 0, p, s);
  launch_kernel(("group_norm_apply" + type).c_str(), {blocks_for(p.pixels * p.c, kNormThreads * kNormPerThread), p.n},
                {kNormThreads}, 0, p, s);
}

void group_norm_backward(const GroupNormBackwardParams& p) {
  check_size(p.pixels, p.c);
  check_parameters(p.weight_dtype, p.bias_dtype);
  if (p.n * p.pixels * p.c == 0) return;
  const std::string type = suffix("groupNorm", p.dtype) + "_kernel";
  // At most 256 chunks of at least 32 pixels: enough blocks to fill a GPU, few enough for one thread to add up.
  const int64_t chunk = p.pixels / 256 < 32 ? 32 : blocks_for(p.pixels, 256), chunks = blocks_for(p.pixels, chunk);
  const Scratch<float> partials(p.n * chunks * 2 * p.c), totals(p.n * 2 * p.c), constants(p.n * p.groups * 2);
  const bool four = aligned_for_four(p.x, p.dtype) && aligned_for_four(p.dy, p.dtype) &&
                    aligned_for_four(p.dx, p.dtype) && p.pixels * p.c % kNormPerThread == 0;
  const GroupNormScratch s{
      partials.data, totals.data, constants.data, static_cast<int32_t>(chunk), static_cast<int32_t>(chunks), four};
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

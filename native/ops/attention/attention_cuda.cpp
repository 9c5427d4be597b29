#include "ops/attention/attention_cuda.h"

#include "core/parallel.h"
#include "cuda/kernel_name.h"
#include "cuda/launch.h"

namespace noisewright::cuda {

namespace {

constexpr int64_t kWantedBlocks = 64;  // queries are sliced until there are so many
constexpr int64_t kShortestSlice = 256;

// The head size of the flash kernels for this shape, or 0 where there are none.
int flash_size(const AttentionShape& s) {
  if (s.dtype == DType::kFloat32) return 0;
  for (int size : kHeadSizes)
    if (s.size <= size) return size;
  return 0;
}

// Whether a larger head has a forward kernel. Its gradients are computed by rows: sums of dK and dV, 1024 channels a
// token, would fit into no block's registers, and no training needs them (the VAE is frozen).
bool has_large_kernel(const AttentionShape& s) { return s.dtype != DType::kFloat32 && s.size <= kLargestHead; }

// Whether every token of every head begins at a multiple of 16 bytes.
bool wide_access(std::initializer_list<AttentionView> views) {
  for (const AttentionView& x : views)
    if (!aligned_for_eight({x.data}) || x.batch_stride % 8 != 0 || x.token_stride % 8 != 0) return false;
  return true;
}

std::string kernel_name(const char* name, const AttentionShape& s, int size) {
  return name + suffix("attention", s.dtype) + (size ? "_" + std::to_string(size) : "") + "_kernel";
}

}  // namespace

void attention_forward(const AttentionForwardParams& p) {
  const AttentionShape& s = p.shape;
  if (s.batch * s.heads * s.queries == 0) return;
  AttentionWork work{};
  work.wide = wide_access({p.q, p.k, p.v});
  const int size = flash_size(s);
  if (!size && has_large_kernel(s))
    return launch_kernel(kernel_name("attention_forward_large", s, 0).c_str(),
                         {blocks_for(s.queries, kSquare), s.batch * s.heads}, {kLargeThreads},
                         static_cast<size_t>(large_shared_bytes(s.size)), p, work);
  if (!size) return attention_forward_by_rows(p);
  launch_kernel(kernel_name("attention_forward", s, size).c_str(),
                {blocks_for(s.queries, forward_queries(size)), s.batch * s.heads}, {kAttentionThreads},
                static_cast<size_t>(forward_shared_bytes(size)), p, work);
}

void attention_backward(const AttentionBackwardParams& p) {
  const AttentionShape& s = p.shape;
  const int64_t pairs = s.batch * s.heads;
  const Scratch<float> row_sums(pairs * s.queries);
  AttentionWork work{};
  work.row_sums = row_sums.data;
  if (pairs * s.queries > 0)
    launch_kernel("attention_row_sums_kernel", {blocks_for(pairs * s.queries, kAttentionWarps)}, {kAttentionThreads}, 0,
                  p, work);
  const int size = flash_size(s);
  if (!size) return attention_backward_by_rows(p, row_sums.data);
  work.wide = wide_access({p.q, p.k, p.v, p.dy});
  const auto shared_bytes = static_cast<size_t>(backward_shared_bytes(size));
  if (p.dq.data)
    launch_kernel(kernel_name("attention_backward_queries", s, size).c_str(),
                  {blocks_for(s.queries, kOwnTokens), pairs}, {kAttentionThreads}, shared_bytes, p, work);
  if (!p.dk.data && !p.dv.data) return;
  work.slices = 1;
  while (pairs * blocks_for(s.keys, kOwnTokens) * work.slices < kWantedBlocks &&
         s.queries / (2 * work.slices) >= kShortestSlice)
    work.slices *= 2;
  work.slice = blocks_for(blocks_for(s.queries, work.slices), 64) * 64;
  const int64_t count = pairs * s.keys * s.size;
  const Scratch<float> partial(work.slices > 1 ? work.slices * 2 * count : 1);
  if (work.slices > 1) work.partial = partial.data;
  launch_kernel(kernel_name("attention_backward_keys", s, size).c_str(),
                {blocks_for(s.keys, kOwnTokens), pairs, work.slices}, {kAttentionThreads}, shared_bytes, p, work);
  if (work.partial)
    launch_kernel(kernel_name("attention_backward_join", s, 0).c_str(), {blocks_for(count, kAttentionThreads), 2},
                  {kAttentionThreads}, 0, p, work);
}

}  // namespace noisewright::cuda

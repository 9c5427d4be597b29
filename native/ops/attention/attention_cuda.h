// What the kernels for attention and their host code agree on.
#pragma once
#include "ops/attention/attention.h"

namespace noisewright::cuda {

constexpr int kAttentionThreads = 128;  // four warps
constexpr int kAttentionWarps = kAttentionThreads / 32;
constexpr int kForwardKeys = 64;  // of a tile
constexpr int kOwnTokens = 64;    // of a block in backward: 16 for each warp

// Flash kernels exist for 16-bit floats and these head sizes; a smaller head runs in the next one, among zeros.
constexpr int kHeadSizes[] = {40, 64, 80, 160};

// A token of a head takes whole tensor-core steps of 16 channels, and 16 bytes more, so that rows are an odd multiple
// of 16 bytes apart and eight of them fall on different banks.
constexpr int head_depth(int size) { return (size + 15) / 16 * 16; }
constexpr int token_stride(int size) { return head_depth(size) + 8; }

constexpr int forward_pieces(int size) { return size <= 80 ? 2 : 1; }  // of 16 queries for each warp
constexpr int forward_queries(int size) { return 16 * kAttentionWarps * forward_pieces(size); }
constexpr int forward_shared_bytes(int size) {
  return 2 * token_stride(size) * (forward_queries(size) + 2 * kForwardKeys);
}
constexpr int other_tokens(int size) { return size <= 80 ? 64 : 32; }  // of a tile in backward
constexpr int backward_shared_bytes(int size) {
  return 2 * token_stride(size) * (2 * kOwnTokens + 4 * other_tokens(size));
}

// Forward, heads of more channels than those, up to 512, come in squares of 64 tokens by 64 channels.
constexpr int kLargestHead = 512;
constexpr int kLargeThreads = 256;  // eight warps
constexpr int kSquare = 64;
constexpr int kSquareStages = 3;  // squares of K and V: two are under way while one is multiplied
constexpr int squares_of(int64_t size) { return static_cast<int>((size + kSquare - 1) / kSquare); }
// Of queries, of weights, and the stages.
constexpr int large_shared_bytes(int64_t size) {
  return 2 * kSquare * kSquare * (squares_of(size) + 1 + kSquareStages);
}

struct AttentionWork {
  bool wide;        // whether tokens may be read 16 bytes at a time
  float* row_sums;  // [batch * heads, queries]: D = rowsum(dy * o)
  int64_t slice;    // queries that one block of the kernel for dK and dV walks over
  int64_t slices;
  float* partial;  // [slices, 2, batch * heads, keys, size]: dK and dV, where there are several slices
};

// The scores of rows [first, first + rows) of a sample's heads, in memory.
struct ScoreRows {
  AttentionShape shape;
  int64_t first, rows, stride;  // stride: from one row to the next
  const float* scores;          // [heads, rows, stride], scaled
  const float* products;        // the same of dy V^T; backward
  void* p;                      // weights, of the shape's type
  void* ds;                     // backward
  float* lse;                   // [heads, queries], of the sample
  const float* row_sums;        // [heads, queries]; backward
};

// For float32 and for heads larger than the flash kernels take.
void attention_forward_by_rows(const AttentionForwardParams& p);
void attention_backward_by_rows(const AttentionBackwardParams& p, const float* row_sums);

}  // namespace noisewright::cuda

// Flash attention: softmax(scale * q k^T) v for each head, without the matrix of scores ever being in memory.
#pragma once
#include "core/cpu_target.h"
#include "core/dtype.h"

namespace noisewright {

// A [batch, tokens, heads * size] tensor whose last axis is contiguous; strides are in elements.
struct AttentionView {
  void* data;
  int64_t batch_stride;
  int64_t token_stride;
};

struct AttentionShape {
  int64_t batch, heads, queries, keys;
  int64_t size;  // of a head: a multiple of 8
  float scale;
  bool causal;  // key j is visible to query i when j <= i + keys - queries
  DType dtype;
};

struct AttentionForwardParams {
  AttentionShape shape;
  AttentionView q, k, v, o;
  float* lse;  // [batch, heads, queries], natural log-sum-exp of the scaled scores; +inf where no key is visible
};

struct AttentionBackwardParams {
  AttentionShape shape;
  AttentionView q, k, v, o, dy;
  const float* lse;
  AttentionView dq, dk, dv;  // data is null where the gradient is not wanted
};

CPU_KERNEL_BF16(attention_forward, AttentionForwardParams)
CPU_KERNEL_BF16(attention_backward, AttentionBackwardParams)

namespace cuda {
void attention_forward(const AttentionForwardParams& p);
void attention_backward(const AttentionBackwardParams& p);
}  // namespace cuda

}  // namespace noisewright

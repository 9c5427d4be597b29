// Softmax and its gradient where scores are in memory (attention_rows_cuda.cpp). A block has a row. Bound by reading
// the scores twice and writing the weights once (arithmetic, not measured on a GPU).
#include "cuda/gpu.h"
#include "cuda/reduce.cuh"
#include "ops/attention/attention_cuda.h"

namespace noisewright::cuda {

namespace {

// The number of keys that a row of the block's sees, at least 0.
__device__ inline int64_t visible_keys(const ScoreRows& r) {
  const AttentionShape& s = r.shape;
  if (!s.causal) return s.keys;
  const int64_t count = r.first + blockIdx.x + s.keys - s.queries + 1;
  return count < 0 ? 0 : count < s.keys ? count : s.keys;
}

__device__ inline int64_t row_start(const ScoreRows& r) { return (blockIdx.y * r.rows + blockIdx.x) * r.stride; }
__device__ inline int64_t query_index(const ScoreRows& r) {
  return blockIdx.y * r.shape.queries + r.first + blockIdx.x;
}

template <class T>
__device__ inline void softmax_row(const ScoreRows& r) {
  SHARED(float, part, [32]);
  const int64_t visible = visible_keys(r);
  const float* scores = r.scores + row_start(r);
  T* p = static_cast<T*>(r.p) + row_start(r);
  float most = gpu::Max::nothing();
  for (int64_t key = threadIdx.x; key < visible; key += kAttentionThreads) most = gpu::Max::join(most, scores[key]);
  most = gpu::reduce_block<gpu::Max>(most, part);
  const float reference = most == gpu::Max::nothing() ? 0.0f : most;
  float sum = 0;
  for (int64_t key = threadIdx.x; key < visible; key += kAttentionThreads) sum = sum + expf(scores[key] - reference);
  sum = gpu::reduce_block<gpu::Sum>(sum, part);
  const float inverse = sum == 0 ? 0 : 1 / sum;  // of a NaN: NaN
  for (int64_t key = threadIdx.x; key < r.shape.keys; key += kAttentionThreads)
    gpu::store(p + key, key < visible ? expf(scores[key] - reference) * inverse : 0.0f);
  if (threadIdx.x == 0) r.lse[query_index(r)] = sum == 0 ? -gpu::Max::nothing() : reference + logf(sum);
}

// P again from scores and log-sum-exp, and dS = P * (dP - D).
template <class T>
__device__ inline void gradient_row(const ScoreRows& r) {
  const int64_t visible = visible_keys(r), start = row_start(r);
  const float lse = r.lse[query_index(r)], d = r.row_sums[query_index(r)];
  for (int64_t key = threadIdx.x; key < r.shape.keys; key += kAttentionThreads) {
    const float weight = key < visible ? expf(r.scores[start + key] - lse) : 0.0f;
    const float product = r.products[start + key];
    gpu::store(static_cast<T*>(r.p) + start + key, weight);
    gpu::store(static_cast<T*>(r.ds) + start + key, key < visible ? weight * (product - d) : 0.0f);
  }
}

}  // namespace

#define ROW_KERNELS(type, T)                                                                                        \
  extern "C" __global__ void __launch_bounds__(kAttentionThreads) attention_softmax_##type##_kernel(ScoreRows r) {  \
    softmax_row<T>(r);                                                                                              \
  }                                                                                                                 \
  KERNEL(attention_softmax_##type##_kernel);                                                                        \
  extern "C" __global__ void __launch_bounds__(kAttentionThreads) attention_gradient_##type##_kernel(ScoreRows r) { \
    gradient_row<T>(r);                                                                                             \
  }                                                                                                                 \
  KERNEL(attention_gradient_##type##_kernel)

ROW_KERNELS(f32, float);
ROW_KERNELS(bf16, bfloat16);
ROW_KERNELS(f16, float16);

}  // namespace noisewright::cuda

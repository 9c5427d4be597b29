// A block owns 128 queries of a head (64 where it is wider than 80) and walks over the keys in tiles of 64, keeping
// each query's maximum and sum and rescaling its output when the maximum rises (FlashAttention-2, arXiv 2307.08691). A
// warp owns 32 queries (16), so that each fragment of K and V serves two pieces; the scores never leave its registers.
// K and V have one tile each: V comes while scores are made, the next K while V is added.
//
// Arithmetic, not measured on a GPU: per score 4 * size operations on tensor cores, of which size / head_depth(size)
// count twice (40: 0.91, else 1), one 2^x and about four float32 operations. Shared memory 28 KB at size 40, 45 KB at
// 80, 65 KB at 160: two or three blocks on a multiprocessor. Sums and scores take 104 registers at 40, 144 at 80, 112
// at 160. Expected share of the 16-bit peak on an A100: 35 to 45 % at 40, 50 to 60 % from 64 on. Bytes: q, k, v, o
// once, k and v again from the second-level cache for each block of queries.
#include "ops/attention/attention_tile.cuh"

namespace noisewright::cuda {

namespace {

template <class T, int kSize>
__device__ inline void forward(const AttentionForwardParams& p, const AttentionWork& work) {
  constexpr int kM = forward_pieces(kSize), kN = kForwardKeys / 8, kQueries = forward_queries(kSize);
  const AttentionShape& s = p.shape;
  DYN_SHARED(T, q_tile);
  T* k_tile = q_tile + kQueries * token_stride(kSize);
  T* v_tile = k_tile + kForwardKeys * token_stride(kSize);
  const int64_t pair = blockIdx.y;
  // 32 bits are enough for tokens, of which no GPU holds 2^31; with 64, the kernel of size 40 spills.
  const int first = static_cast<int>(blockIdx.x) * kQueries, offset = static_cast<int>(s.keys - s.queries);
  const T *k = head_of<T>(s, p.k, pair), *v = head_of<T>(s, p.v, pair);
  const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4, row = threadIdx.x / 32 * 16 * kM;
  const float c = s.scale * kLog2E;
  int end = static_cast<int>(s.keys);  // keys that the last query sees
  if (s.causal && first + kQueries + offset < end) end = first + kQueries + offset;

  gpu::Sums sums[kM][kSize / 8];
  float maximum[kM][2], total[kM][2];
  UNROLL
  for (int i = 0; i < kM; i++) {
    UNROLL
    for (gpu::Sums& x : sums[i]) x = {};
    UNROLL
    for (int h = 0; h < 2; h++) {
      maximum[i][h] = -infinity();
      total[i][h] = 0;
    }
  }
  bring_tokens<kSize, kQueries>(q_tile, head_of<const T>(s, p.q, pair), p.q.token_stride, first, s.queries, s.size,
                                work.wide);
  if (end > 0) bring_tokens<kSize, kForwardKeys>(k_tile, k, p.k.token_stride, 0, s.keys, s.size, work.wide);
  gpu::commit_copies();
  for (int key = 0; key < end; key += kForwardKeys) {
    gpu::wait_for_copies<0>();
    __syncthreads();  // K is there, V is free
    bring_tokens<kSize, kForwardKeys>(v_tile, v, p.v.token_stride, key, s.keys, s.size, work.wide);
    gpu::commit_copies();
    gpu::Sums scores[kM][kN];
    score<kSize>(q_tile, row, k_tile, scores);
    const bool masked = key + kForwardKeys > s.keys || (s.causal && key + kForwardKeys - 1 > first + offset);
    if (masked) hide_keys(s, first + row + g, key + 2 * t, scores);
    UNROLL
    for (int i = 0; i < kM; i++) {
      UNROLL
      for (int h = 0; h < 2; h++) {
        const float most = gpu::Max::join(maximum[i][h], reduce_quad<gpu::Max>(largest(scores[i], h)));
        const float factor = weigh_row(scores[i], h, c, most, maximum[i][h], total[i][h]);
        UNROLL
        for (gpu::Sums& x : sums[i]) {
          UNROLL
          for (int e = 2 * h; e < 2 * h + 2; e++) x.v[e] = x.v[e] * factor;
        }
      }
    }
    gpu::wait_for_copies<0>();
    __syncthreads();  // V is there, K is free
    if (key + kForwardKeys < end)
      bring_tokens<kSize, kForwardKeys>(k_tile, k, p.k.token_stride, key + kForwardKeys, s.keys, s.size, work.wide);
    gpu::commit_copies();
    add_weighted<kSize>(scores, v_tile, sums);
  }

  T* o = head_of<T>(s, p.o, pair);
  UNROLL
  for (int i = 0; i < kM; i++) {
    UNROLL
    for (int h = 0; h < 2; h++) {
      const float sum = reduce_quad<gpu::Sum>(total[i][h]);
      const int query = first + row + 16 * i + 8 * h + g;
      if (query >= s.queries) continue;
      const float inverse = sum == 0 ? 0 : 1 / sum;  // of a NaN: NaN
      if (t == 0) p.lse[pair * s.queries + query] = sum == 0 ? infinity() : maximum[i][h] * s.scale + logf(sum);
      UNROLL
      for (int j = 0; j < kSize / 8 && 8 * j < s.size; j++)
        store_two(o + int64_t{query} * p.o.token_stride + 8 * j + 2 * t, sums[i][j].v[2 * h] * inverse,
                  sums[i][j].v[2 * h + 1] * inverse);
    }
  }
}

}  // namespace

#define FORWARD_KERNEL(type, T, size)                                                            \
  extern "C" __global__ void __launch_bounds__(kAttentionThreads)                                \
      attention_forward_##type##_##size##_kernel(AttentionForwardParams p, AttentionWork work) { \
    forward<T, size>(p, work);                                                                   \
  }                                                                                              \
  KERNEL(attention_forward_##type##_##size##_kernel)
#define FORWARD_KERNELS(type, T) \
  FORWARD_KERNEL(type, T, 40);   \
  FORWARD_KERNEL(type, T, 64);   \
  FORWARD_KERNEL(type, T, 80);   \
  FORWARD_KERNEL(type, T, 160)

FORWARD_KERNELS(bf16, bfloat16);
FORWARD_KERNELS(f16, float16);

}  // namespace noisewright::cuda

// With P = 2^(c score - log-sum-exp) and D = rowsum(dy * o):
//   dV = P^T dy,  dS = P * (dy V^T - D),  dQ = scale dS K,  dK = scale dS^T Q
// One kernel owns keys and walks over queries (dK and dV), another owns queries and walks over keys (dQ): scores are
// made twice, seven products instead of five, but nothing is added by two blocks, so results are the same on every run
// and there is no float32 dQ in memory. Both are one template: `own` are the tokens of a block, 16 for each warp,
// `other` those it walks over in tiles that come a step ahead. P and dS are made transposed where keys are owned, so
// that they are left factors right where they are, in registers.
//
// Few keys (77 of a caption) give the first kernel few blocks: the queries are then cut into slices by shape, whose
// float32 sums a third kernel adds in order.
//
// Arithmetic, not measured on a GPU: 14 * size operations per score on tensor cores where 10 * size are needed. Shared
// memory 43 KB at size 40, 55 KB at 64, 68 KB at 80, 86 KB at 160 (one block on GPUs with 99 KB). Registers for sums
// and scores: 104 at 40, 144 at 80, 192 at 160. Expected share of the 16-bit peak, counting five products: 0.55 to
// 0.65 of the forward's.
#include "ops/attention/attention_tile.cuh"

namespace noisewright::cuda {

namespace {

// P and dS of a warp's 16 own tokens and a tile of others, in place of scores and of dy V^T.
template <bool kKeysOwn, int kN>
__device__ inline void weigh(const AttentionBackwardParams& p, const float* row_sums, int64_t pair, int64_t own,
                             int64_t other, gpu::Sums (&scores)[1][kN], gpu::Sums (&products)[1][kN]) {
  const AttentionShape& s = p.shape;
  const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
  const float c = s.scale * kLog2E;
  const auto base2 = [&](int64_t query) {
    return query < s.queries ? p.lse[pair * s.queries + query] * kLog2E : infinity();
  };
  const auto sum_of = [&](int64_t query) { return query < s.queries ? row_sums[pair * s.queries + query] : 0.0f; };
  float shift[2], d[2];
  UNROLL
  for (int h = 0; h < 2 && !kKeysOwn; h++) {
    shift[h] = -base2(own + 8 * h + g);
    d[h] = sum_of(own + 8 * h + g);
  }
  UNROLL
  for (int j = 0; j < kN; j++) {
    UNROLL
    for (int e = 0; e < 2 && kKeysOwn; e++) {
      shift[e] = -base2(other + 8 * j + 2 * t + e);
      d[e] = sum_of(other + 8 * j + 2 * t + e);
    }
    UNROLL
    for (int e = 0; e < 4; e++) {
      const int64_t row = own + 8 * (e / 2) + g, column = other + 8 * j + 2 * t + e % 2;
      const int64_t query = kKeysOwn ? column : row, key = kKeysOwn ? row : column;
      const int which = kKeysOwn ? e % 2 : e / 2;
      const bool seen = query < s.queries && key < s.keys && (!s.causal || key <= query + s.keys - s.queries);
      const float weight = seen ? exp2f(fmaf(scores[0][j].v[e], c, shift[which])) : 0.0f;
      scores[0][j].v[e] = weight;
      products[0][j].v[e] = seen ? weight * (products[0][j].v[e] - d[which]) : 0.0f;
    }
  }
}

template <class T, int kSize>
__device__ inline void store_gradient(const AttentionBackwardParams& p, const AttentionWork& work, bool is_dv,
                                      const AttentionView& to, int64_t tokens, int64_t first,
                                      const gpu::Sums (&sums)[1][kSize / 8], float factor) {
  const AttentionShape& s = p.shape;
  const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
  const int64_t pair = blockIdx.y, pairs = s.batch * s.heads;
  UNROLL
  for (int h = 0; h < 2; h++) {
    const int64_t token = first + 8 * h + g;
    if (token >= tokens) continue;
    UNROLL
    for (int j = 0; j < kSize / 8 && 8 * j < s.size; j++) {
      const int channel = 8 * j + 2 * t;
      const float low = sums[0][j].v[2 * h], high = sums[0][j].v[2 * h + 1];
      if (work.partial) {
        const int64_t slice = int64_t{blockIdx.z} * 2 + is_dv;
        float* at = work.partial + ((slice * pairs + pair) * s.keys + token) * s.size + channel;
        at[0] = low;
        at[1] = high;
      } else {
        store_two(head_of<T>(s, to, pair) + token * to.token_stride + channel, low * factor, high * factor);
      }
    }
  }
}

template <class T, int kSize, bool kKeysOwn>
__device__ inline void backward(const AttentionBackwardParams& p, const AttentionWork& work) {
  constexpr int kOther = other_tokens(kSize), kN = kOther / 8, kStride = token_stride(kSize);
  const AttentionShape& s = p.shape;
  DYN_SHARED(T, own_tiles);
  T* other_tiles = own_tiles + 2 * kOwnTokens * kStride;  // [2 stages][2]
  const int64_t pair = blockIdx.y, own = int64_t{blockIdx.x} * kOwnTokens, offset = s.keys - s.queries;
  const AttentionView &own1 = kKeysOwn ? p.k : p.q, &own2 = kKeysOwn ? p.v : p.dy;
  const AttentionView &other1 = kKeysOwn ? p.q : p.k, &other2 = kKeysOwn ? p.dy : p.v;
  const int64_t own_count = kKeysOwn ? s.keys : s.queries, other_count = kKeysOwn ? s.queries : s.keys;
  int64_t begin = 0, end = other_count;
  if constexpr (kKeysOwn) {
    begin = int64_t{blockIdx.z} * work.slice;
    if (begin + work.slice < end) end = begin + work.slice;
    if (s.causal && own - offset > begin) begin = own - offset;  // earlier queries see none of these keys
  } else {
    if (s.causal && own + kOwnTokens + offset < end) end = own + kOwnTokens + offset;
  }

  const auto bring = [&](int64_t first) {
    T* tile = other_tiles + (first - begin) / kOther % 2 * (2 * kOther * kStride);
    if (first < end) {
      bring_tokens<kSize, kOther>(tile, head_of<const T>(s, other1, pair), other1.token_stride, first, end, s.size,
                                  work.wide);
      bring_tokens<kSize, kOther>(tile + kOther * kStride, head_of<const T>(s, other2, pair), other2.token_stride,
                                  first, end, s.size, work.wide);
    }
    gpu::commit_copies();
    return tile;
  };
  bring_tokens<kSize, kOwnTokens>(own_tiles, head_of<const T>(s, own1, pair), own1.token_stride, own, own_count, s.size,
                                  work.wide);
  bring_tokens<kSize, kOwnTokens>(own_tiles + kOwnTokens * kStride, head_of<const T>(s, own2, pair), own2.token_stride,
                                  own, own_count, s.size, work.wide);
  const T* tile = bring(begin);
  const int row = threadIdx.x / 32 * 16;
  gpu::Sums sums1[1][kSize / 8], sums2[1][kSize / 8];
  UNROLL
  for (gpu::Sums& x : sums1[0]) x = {};
  UNROLL
  for (gpu::Sums& x : sums2[0]) x = {};
  for (int64_t other = begin; other < end; other += kOther) {
    gpu::wait_for_copies<0>();
    __syncthreads();  // this tile is there, the one before is free
    const T* next = bring(other + kOther);
    gpu::Sums scores[1][kN], products[1][kN];
    score<kSize>(own_tiles, row, tile, scores);
    score<kSize>(own_tiles + kOwnTokens * kStride, row, tile + kOther * kStride, products);
    weigh<kKeysOwn>(p, work.row_sums, pair, own + row, other, scores, products);
    add_weighted<kSize>(products, tile, sums1);
    if constexpr (kKeysOwn) add_weighted<kSize>(scores, tile + kOther * kStride, sums2);
    tile = next;
  }
  const AttentionView& to = kKeysOwn ? p.dk : p.dq;
  if (to.data) store_gradient<T, kSize>(p, work, false, to, own_count, own + row, sums1, s.scale);
  if (kKeysOwn && p.dv.data) store_gradient<T, kSize>(p, work, true, p.dv, own_count, own + row, sums2, 1);
}

// dK or dV from the sums of the slices.
template <class T>
__device__ inline void join(const AttentionBackwardParams& p, const AttentionWork& work) {
  const AttentionShape& s = p.shape;
  const int64_t i = int64_t{blockIdx.x} * kAttentionThreads + threadIdx.x, pairs = s.batch * s.heads;
  const AttentionView& to = blockIdx.y ? p.dv : p.dk;
  const int64_t count = pairs * s.keys * s.size;
  if (i >= count || !to.data) return;
  float sum = 0;
  for (int64_t slice = 0; slice < work.slices; slice++) sum = sum + work.partial[(slice * 2 + blockIdx.y) * count + i];
  const int64_t token = i / s.size, pair = token / s.keys;
  gpu::store(head_of<T>(s, to, pair) + token % s.keys * to.token_stride + i % s.size, blockIdx.y ? sum : sum * s.scale);
}

}  // namespace

// D, a warp for each row.
extern "C" __global__ void __launch_bounds__(kAttentionThreads)
    attention_row_sums_kernel(AttentionBackwardParams p, AttentionWork work) {
  const AttentionShape& s = p.shape;
  const int64_t row = int64_t{blockIdx.x} * kAttentionWarps + threadIdx.x / 32, pair = row / s.queries;
  if (pair >= s.batch * s.heads) return;
  const auto at = [&](const AttentionView& x) {
    return pair / s.heads * x.batch_stride + pair % s.heads * s.size + row % s.queries * x.token_stride;
  };
  float sum = 0;
  for (int64_t channel = threadIdx.x % 32; channel < s.size; channel += 32)
    sum = fmaf(gpu::load_any(p.dy.data, s.dtype, at(p.dy) + channel),
               gpu::load_any(p.o.data, s.dtype, at(p.o) + channel), sum);
  sum = gpu::reduce_warp<gpu::Sum>(sum);
  if (threadIdx.x % 32 == 0) work.row_sums[row] = sum;
}
KERNEL(attention_row_sums_kernel);

#define BACKWARD_KERNEL(name, call)                                  \
  extern "C" __global__ void __launch_bounds__(kAttentionThreads)    \
      name##_kernel(AttentionBackwardParams p, AttentionWork work) { \
    call(p, work);                                                   \
  }                                                                  \
  KERNEL(name##_kernel)
#define COMMA ,
#define BACKWARD_KERNELS_OF_SIZE(type, T, size)                                                \
  BACKWARD_KERNEL(attention_backward_keys_##type##_##size, backward<T COMMA size COMMA true>); \
  BACKWARD_KERNEL(attention_backward_queries_##type##_##size, backward<T COMMA size COMMA false>)
#define BACKWARD_KERNELS(type, T)         \
  BACKWARD_KERNELS_OF_SIZE(type, T, 40);  \
  BACKWARD_KERNELS_OF_SIZE(type, T, 64);  \
  BACKWARD_KERNELS_OF_SIZE(type, T, 80);  \
  BACKWARD_KERNELS_OF_SIZE(type, T, 160); \
  BACKWARD_KERNEL(attention_backward_join_##type, join<T>)

BACKWARD_KERNEL(attention_backward_join_f32, join<float>);
BACKWARD_KERNELS(bf16, bfloat16);
BACKWARD_KERNELS(f16, float16);

}  // namespace noisewright::cuda

// Parts of the flash kernels: tiles [tokens][channels] of a head in shared memory, and a warp's products of them.
#pragma once
#include "cuda/mma.h"
#include "cuda/reduce.cuh"
#include "ops/attention/attention_cuda.h"

namespace noisewright::cuda {
namespace {

constexpr float kLog2E = 1.44269504f;

__device__ inline float infinity() { return __uint_as_float(0x7F800000u); }

// Token 0 of a head; pair = sample * heads + head.
template <class T>
__device__ inline T* head_of(const AttentionShape& s, const AttentionView& x, int64_t pair) {
  return static_cast<T*>(x.data) + pair / s.heads * x.batch_stride + pair % s.heads * s.size;
}

// Eight channels, asynchronously where access is wide; zeros where they are not there.
template <class T>
__device__ inline void bring_eight(T* to, const T* from, bool there, bool wide) {
  if (wide)
    gpu::copy_async_16(to, from, there ? 16 : 0);
  else {
    UNROLL
    for (int e = 0; e < 8; e++) to[e] = there ? from[e] : T{};
  }
}

// Tokens [first, first + kTokens) of a head, asynchronously; zeros for tokens from `end` on and channels beyond size.
template <int kSize, int kTokens, class T>
__device__ inline void bring_tokens(T* tile, const T* head, int64_t stride, int64_t first, int64_t end, int64_t size,
                                    bool wide) {
  constexpr int kChunks = head_depth(kSize) / 8;
  for (int chunk = threadIdx.x; chunk < kTokens * kChunks; chunk += kAttentionThreads) {
    const int token = chunk / kChunks, channel = chunk % kChunks * 8;
    const bool there = first + token < end && channel < size;
    bring_eight(tile + token * token_stride(kSize) + channel, there ? head + (first + token) * stride + channel : head,
                there, wide);
  }
}

// scores[16 i ..][8 j ..] = dot products of tokens [row, row + 16 kM) of `own` and the first 8 kN of `other`.
template <int kSize, class T, int kM, int kN>
__device__ inline void score(const T* own, int row, const T* other, gpu::Sums (&scores)[kM][kN]) {
  const int lane = threadIdx.x % 32, low = lane % 16, high = lane / 16 * 8;
  const int folded = high + lane % 8, eights = lane / 8 % 2 * 8;
  UNROLL
  for (auto& line : scores) {
    UNROLL
    for (gpu::Sums& s : line) s = {};
  }
  UNROLL
  for (int channel = 0; channel < head_depth(kSize); channel += 16) {
    gpu::FragmentA x[kM];
    UNROLL
    for (int i = 0; i < kM; i++)
      x[i] = gpu::load_matrices<false>(own + (row + 16 * i + low) * token_stride(kSize) + channel + high);
    UNROLL
    for (int j = 0; j < kN; j += 2) {
      const auto y = gpu::load_matrices<false>(other + (8 * j + folded) * token_stride(kSize) + channel + eights);
      UNROLL
      for (int i = 0; i < kM; i++) {
        gpu::multiply_add<T>(scores[i][j], x[i], {{y.word[0], y.word[1]}});
        gpu::multiply_add<T>(scores[i][j + 1], x[i], {{y.word[2], y.word[3]}});
      }
    }
  }
}

// sums[16 i ..][8 j ..] += weights, rounded to T, times tokens. What a lane holds of weights is what it must hold of a
// left factor.
template <int kSize, class T, int kM, int kN>
__device__ inline void add_weighted(const gpu::Sums (&weights)[kM][kN], const T* tokens,
                                    gpu::Sums (&sums)[kM][kSize / 8]) {
  const int lane = threadIdx.x % 32, low = lane % 16, high = lane / 16 * 8;
  UNROLL
  for (int k = 0; k < kN; k += 2) {
    gpu::FragmentA x[kM];
    UNROLL
    for (int i = 0; i < kM; i++) {
      UNROLL
      for (int w = 0; w < 4; w++) {
        const gpu::Sums& s = weights[i][k + w / 2];
        x[i].word[w] = gpu::pack<T>(s.v[w % 2 * 2], s.v[w % 2 * 2 + 1]);
      }
    }
    UNROLL
    for (int j = 0; j < kSize / 8; j += 2) {
      const auto y = gpu::load_matrices<true>(tokens + (8 * k + low) * token_stride(kSize) + 8 * j + high);
      UNROLL
      for (int i = 0; i < kM; i++) {
        gpu::multiply_add<T>(sums[i][j], x[i], {{y.word[0], y.word[1]}});
        if (j + 1 < kSize / 8) gpu::multiply_add<T>(sums[i][j + 1], x[i], {{y.word[2], y.word[3]}});
      }
    }
  }
}

// Over the four lanes that share rows of a warp's sums.
template <class Op>
__device__ inline float reduce_quad(float x) {
  x = Op::join(x, __shfl_xor_sync(gpu::kFullWarp, x, 1));
  return Op::join(x, __shfl_xor_sync(gpu::kFullWarp, x, 2));
}

// Makes the scores of keys that are not there, or that a query does not see, -infinity. query, key: of this lane's
// first score.
template <int kM, int kN>
__device__ inline void hide_keys(const AttentionShape& s, int query, int key, gpu::Sums (&scores)[kM][kN]) {
  const int offset = static_cast<int>(s.keys - s.queries);
  UNROLL
  for (int i = 0; i < kM; i++) {
    UNROLL
    for (int j = 0; j < kN; j++) {
      UNROLL
      for (int e = 0; e < 4; e++) {
        const int at = key + 8 * j + e % 2, seen_by = query + 16 * i + 8 * (e / 2);
        if (at >= s.keys || (s.causal && at > seen_by + offset)) scores[i][j].v[e] = -infinity();
      }
    }
  }
}

// The largest of a lane's scores in row h, 0 or 1, of a piece of 16 queries.
template <int kN>
__device__ inline float largest(const gpu::Sums (&scores)[kN], int h) {
  float most = -infinity();
  UNROLL
  for (int j = 0; j < kN; j++) most = gpu::Max::join(most, gpu::Max::join(scores[j].v[2 * h], scores[j].v[2 * h + 1]));
  return most;
}

// Of a row: turns scores into weights under its new maximum and adds them to its total. Returns the factor by which
// what was added under the old maximum has shrunk. c: from scores to exponents of 2.
template <int kN>
__device__ inline float weigh_row(gpu::Sums (&scores)[kN], int h, float c, float most, float& maximum, float& total) {
  const float reference = most == -infinity() ? 0.0f : most;
  const float factor = exp2f((maximum - reference) * c), shift = -(reference * c);
  maximum = most;
  float sum = total * factor;
  UNROLL
  for (int j = 0; j < kN; j++) {
    UNROLL
    for (int e = 2 * h; e < 2 * h + 2; e++) {
      const float weight = exp2f(fmaf(scores[j].v[e], c, shift));
      scores[j].v[e] = weight;
      sum = sum + weight;
    }
  }
  total = sum;
  return factor;
}

// Two neighbouring channels.
template <class T>
__device__ inline void store_two(T* to, float low, float high) {
  *reinterpret_cast<uint32_t*>(to) = gpu::pack<T>(low, high);
}

}  // namespace
}  // namespace noisewright::cuda

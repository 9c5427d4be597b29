// Attention with the scores of some rows at a time in memory, all heads of a sample together: for float32, for heads of
// more than 512 channels, and for the gradients of those of more than 160. Everything but the softmax is products of
// ops/matmul/gemm_cuda.h. Operations are the textbook's, 4 * size per score forward and 10 * size backward; each score
// goes to memory and back three times (backward: five), which the second-level cache absorbs as long as kScoreBytes do
// not outgrow it.
#include "core/parallel.h"
#include "cuda/kernel_name.h"
#include "cuda/launch.h"
#include "ops/attention/attention_cuda.h"
#include "ops/matmul/gemm_cuda.h"

namespace noisewright::cuda {

namespace {

constexpr int64_t kScoreBytes = int64_t{8} << 20;  // of float32 scores at a time: 512 rows of a VAE at 512 x 512
constexpr int64_t kFewestRows = 64;

// Some rows of one sample, and what describes them to products.
struct Rows {
  const AttentionShape& s;
  int64_t sample, first, count, stride;

  // Tokens from `token` on of a view, as lines or, with k_major, as k.
  Factor tokens(const AttentionView& x, int64_t token, bool k_major) const {
    return matrix_of(data_of(x, token), s.dtype, x.token_stride, k_major, s.size);
  }
  Factor weights(const void* p, bool k_major) const { return matrix_of(p, s.dtype, stride, k_major, count * stride); }
  char* data_of(const AttentionView& x, int64_t token) const {
    return static_cast<char*>(x.data) +
           (sample * x.batch_stride + token * x.token_stride) * static_cast<int64_t>(item_size(s.dtype));
  }

  // scores[heads, count, stride] = factor * tokens of a times tokens of b
  void score(const AttentionView& a, const AttentionView& b, float factor, float* scores) const {
    Product p;
    p.batch = s.heads;
    p.m = count;
    p.n = s.keys;
    p.k = s.size;
    p.a = tokens(a, first, false);
    p.b = tokens(b, 0, false);
    p.alpha = factor;
    p.c = scores;
    p.stride2 = stride;
    p.c_batch_stride = count * stride;
    multiply(p, "attention");
  }

  // to = factor * weights times tokens of v, for these rows
  void weighted(const Factor& weights, const AttentionView& v, const AttentionView& to, float factor) const {
    Product p;
    p.batch = s.heads;
    p.m = count;
    p.n = s.size;
    p.k = s.keys;
    p.a = weights;
    p.b = tokens(v, 0, true);
    p.alpha = factor;
    p.c = data_of(to, first);
    p.c_dtype = s.dtype;
    p.stride2 = to.token_stride;
    p.c_batch_stride = s.size;
    multiply(p, "attention");
  }

  // sums[sample, heads, keys, size] += transposed weights times tokens of x
  void add_to_keys(const Factor& weights, const AttentionView& x, float* sums) const {
    Product p;
    p.batch = s.heads;
    p.m = s.keys;
    p.n = s.size;
    p.k = count;
    p.a = weights;
    p.b = tokens(x, first, true);
    p.c = sums + sample * s.heads * s.keys * s.size;
    p.stride2 = s.size;
    p.c_batch_stride = s.keys * s.size;
    if (first > 0) p.residual = p.c;
    multiply(p, "attention backward");
  }
};

int64_t rows_at_a_time(const AttentionShape& s, int64_t stride) {
  const int64_t fitting = kScoreBytes / (s.heads * stride * 4) / kFewestRows * kFewestRows;
  const int64_t rows = fitting < kFewestRows ? kFewestRows : fitting;
  return rows < s.queries ? rows : s.queries;
}

template <class Body>
void for_rows(const AttentionShape& s, int64_t stride, Body body) {
  const int64_t rows = rows_at_a_time(s, stride);
  for (int64_t sample = 0; sample < s.batch; sample++)
    for (int64_t first = 0; first < s.queries; first += rows)
      body(Rows{s, sample, first, first + rows < s.queries ? rows : s.queries - first, stride});
}

int64_t row_stride(const AttentionShape& s) { return blocks_for(s.keys, 8) * 8; }

}  // namespace

void attention_forward_by_rows(const AttentionForwardParams& p) {
  const AttentionShape& s = p.shape;
  const int64_t stride = row_stride(s), count = s.heads * rows_at_a_time(s, stride) * stride;
  const Scratch<float> scores(count);
  const Scratch<char> weights(count * static_cast<int64_t>(item_size(s.dtype)));
  for_rows(s, stride, [&](const Rows& rows) {
    rows.score(p.q, p.k, s.scale, scores.data);
    ScoreRows r{};
    r.shape = s;
    r.first = rows.first;
    r.rows = rows.count;
    r.stride = stride;
    r.scores = scores.data;
    r.p = weights.data;
    r.lse = p.lse + rows.sample * s.heads * s.queries;
    launch_kernel(("attention_softmax" + suffix("attention", s.dtype) + "_kernel").c_str(), {rows.count, s.heads},
                  {kAttentionThreads}, 0, r);
    rows.weighted(rows.weights(weights.data, false), p.v, p.o, 1);
  });
}

void attention_backward_by_rows(const AttentionBackwardParams& p, const float* row_sums) {
  const AttentionShape& s = p.shape;
  const int64_t stride = row_stride(s), count = s.heads * rows_at_a_time(s, stride) * stride;
  const auto item = static_cast<int64_t>(item_size(s.dtype));
  const Scratch<float> scores(count), products(count);
  const Scratch<char> weights(count * item), ds(count * item);
  const int64_t key_count = s.batch * s.heads * s.keys * s.size;
  const Scratch<float> key_sums(2 * key_count);  // of dK, of dV
  for_rows(s, stride, [&](const Rows& rows) {
    rows.score(p.q, p.k, s.scale, scores.data);
    rows.score(p.dy, p.v, 1, products.data);
    const int64_t line = rows.sample * s.heads * s.queries;
    const ScoreRows r{s,
                      rows.first,
                      rows.count,
                      stride,
                      scores.data,
                      products.data,
                      weights.data,
                      ds.data,
                      const_cast<float*>(p.lse) + line,
                      row_sums + line};
    launch_kernel(("attention_gradient" + suffix("attention", s.dtype) + "_kernel").c_str(), {rows.count, s.heads},
                  {kAttentionThreads}, 0, r);
    if (p.dq.data) rows.weighted(rows.weights(ds.data, false), p.k, p.dq, s.scale);
    if (p.dk.data) rows.add_to_keys(rows.weights(ds.data, true), p.q, key_sums.data);
    if (p.dv.data) rows.add_to_keys(rows.weights(weights.data, true), p.dy, key_sums.data + key_count);
  });
  if (!p.dk.data && !p.dv.data) return;
  AttentionWork work{};
  work.slices = 1;
  work.partial = key_sums.data;
  launch_kernel(("attention_backward_join" + suffix("attention", s.dtype) + "_kernel").c_str(),
                {blocks_for(key_count, kAttentionThreads), 2}, {kAttentionThreads}, 0, p, work);
}

}  // namespace noisewright::cuda

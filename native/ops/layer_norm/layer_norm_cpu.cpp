// A row fits the first cache: its statistics (mean, then squared deviations) and its result take one trip to memory.
// Backward also makes one trip: a task handles a fixed block of rows, writes their dx and leaves sums of dy and dy xhat
// per channel, which a last step adds up.
#include "ops/layer_norm/layer_norm.h"

#include "core/rows.h"

namespace noisewright::NOISEWRIGHT_TARGET {

namespace {

// Rows of a task; depends on the row length alone.
int64_t block_rows(int64_t c) {
  const int64_t rows = 32768 / (c > 0 ? c : 1);
  return rows < 16 ? 16 : rows > 256 ? 256 : rows;
}

// Sum of term(i, n) over a row: four interleaved vectors, joined as a tree.
template <class Term>
NW_INLINE float row_sum(int64_t c, Term&& term) {
  constexpr std::integral_constant<int64_t, kLanes> whole;
  Vec s0 = zero(), s1 = zero(), s2 = zero(), s3 = zero();
  int64_t i = 0;
  for (; i + 4 * kLanes <= c; i += 4 * kLanes) {
    s0 = s0 + term(i, whole);
    s1 = s1 + term(i + kLanes, whole);
    s2 = s2 + term(i + 2 * kLanes, whole);
    s3 = s3 + term(i + 3 * kLanes, whole);
  }
  for (; i < c; i += kLanes) s0 = s0 + term(i, c - i);
  return sum_lanes((s0 + s1) + (s2 + s3));
}

// Lanes past the n-th become zero.
NW_INLINE Vec keep(Vec a, int64_t n) {
  if (n >= kLanes) return a;
  float x[kLanes];
  store(x, a);
  return load_partial(x, n);
}

template <class T>
void forward_row(const T* x, T* y, int64_t c, float eps, const float* weight, const float* bias, float* mean_out,
                 float* rstd_out) {
  const float mean = row_sum(c, [&](int64_t i, int64_t n) { return load_up_to(x + i, n); }) / static_cast<float>(c);
  const Vec m = broadcast(mean);
  const float squares = row_sum(c, [&](int64_t i, int64_t n) {
    const Vec d = keep(load_up_to(x + i, n) - m, n);
    return d * d;
  });
  const float rstd = 1.0f / __builtin_sqrtf(squares / static_cast<float>(c) + eps);
  const Vec r = broadcast(rstd);
  for_vectors(c, [&](int64_t i, auto n) {
    store_up_to(y + i, fma((load_up_to(x + i, n) - m) * r, load(weight + i), load(bias + i)), n);
  });
  *mean_out = mean;
  *rstd_out = rstd;
}

template <class T>
void forward_typed(const LayerNormParams& p) {
  const int64_t c = p.c, padded = padded_length(c);
  Scratch<float> parameters(2 * padded);
  float *weight = parameters.data, *bias = weight + padded;
  clear(weight, 2 * padded);
  widen(p.weight, p.weight_dtype, weight, c);
  widen(p.bias, p.bias_dtype, bias, c);
  const auto* x = static_cast<const T*>(p.x);
  auto* y = static_cast<T*>(p.y);
  parallel_chunks(p.rows, block_rows(c), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; r++)
      forward_row(x + r * c, y + r * c, c, p.eps, weight, bias, p.mean + r, p.rstd + r);
  });
}

template <class T>
NW_INLINE void input_gradient(const T* dy, const T* x, T* dx, int64_t c, float mean, float rstd, const float* weight) {
  const Vec m = broadcast(mean), r = broadcast(rstd);
  const float a = row_sum(c, [&](int64_t i, int64_t n) { return load_up_to(dy + i, n) * load(weight + i); });
  const float b = row_sum(c, [&](int64_t i, int64_t n) {  // dy reads as zero past the end
    return load_up_to(dy + i, n) * load(weight + i) * ((load_up_to(x + i, n) - m) * r);
  });
  const float scale = 1.0f / static_cast<float>(c);
  const Vec mean_a = broadcast(a * scale), mean_b = broadcast(b * scale);
  for_vectors(c, [&](int64_t i, auto n) {
    const Vec xhat = (load_up_to(x + i, n) - m) * r;
    store_up_to(dx + i, r * fnma(xhat, mean_b, load_up_to(dy + i, n) * load(weight + i) - mean_a), n);
  });
}

// sums[0..c) += dy, sums[padded..) += dy xhat.
template <class T>
NW_INLINE void add_row(const T* dy, const T* x, int64_t c, int64_t padded, float mean, float rstd, float* sums) {
  const Vec m = broadcast(mean), r = broadcast(rstd);
  for_vectors(c, [&](int64_t i, auto n) {
    const Vec g = load_up_to(dy + i, n);
    store(sums + i, load(sums + i) + g);
    store(sums + padded + i, fma(g, (load_up_to(x + i, n) - m) * r, load(sums + padded + i)));
  });
}

template <class T>
void backward_typed(const LayerNormBackwardParams& p) {
  const int64_t c = p.c, padded = padded_length(c), rows = block_rows(c), blocks = (p.rows + rows - 1) / rows;
  const bool parameters = p.dweight || p.dbias;
  Scratch<float> weights(padded), partials(parameters ? blocks * 2 * padded : 1);
  float* weight = weights.data;
  clear(weight, padded);
  widen(p.weight, p.weight_dtype, weight, c);
  const auto *dy = static_cast<const T*>(p.dy), *x = static_cast<const T*>(p.x);
  auto* dx = static_cast<T*>(p.dx);
  parallel_for(blocks, [&](int64_t block) {
    float* sums = partials.data + (parameters ? block * 2 * padded : 0);
    if (parameters) clear(sums, 2 * padded);
    const int64_t end = (block + 1) * rows < p.rows ? (block + 1) * rows : p.rows;
    for (int64_t r = block * rows; r < end; r++) {
      if (dx) input_gradient(dy + r * c, x + r * c, dx + r * c, c, p.mean[r], p.rstd[r], weight);
      if (parameters) add_row(dy + r * c, x + r * c, c, padded, p.mean[r], p.rstd[r], sums);
    }
  });
  if (p.dbias) add_partials(partials.data, blocks, 2 * padded, p.dbias, c);
  if (p.dweight) add_partials(partials.data + padded, blocks, 2 * padded, p.dweight, c);
}

}  // namespace

void layer_norm_forward(const LayerNormParams& p) {
  with_float_type(p.dtype, [&](auto* t) { forward_typed<std::remove_pointer_t<decltype(t)>>(p); });
}

void layer_norm_backward(const LayerNormBackwardParams& p) {
  with_float_type(p.dtype, [&](auto* t) { backward_typed<std::remove_pointer_t<decltype(t)>>(p); });
}

}  // namespace noisewright::NOISEWRIGHT_TARGET

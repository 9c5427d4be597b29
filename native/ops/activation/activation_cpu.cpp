// Memory bound: every operand is read once and the result written once. geglu reads and writes the two halves of a row
// as two streams.
#include "ops/activation/activation.h"

#include "core/elementary.h"
#include "core/rows.h"

namespace noisewright::NOISEWRIGHT_TARGET {

namespace {

constexpr int64_t kChunk = 16384;  // elements of a task

NW_INLINE Vec one() { return broadcast(1.0f); }

template <Activation kind>
NW_INLINE Vec value(Vec x) {
  if constexpr (kind == Activation::kSilu) return x * sigmoid(x);
  if constexpr (kind == Activation::kQuickGelu) return x * sigmoid(broadcast(1.702f) * x);
  const Vec half_x = broadcast(0.5f) * x;
  return fma(half_x, erf(broadcast(0.70710678f) * x), half_x);
}

// gelu'(x) = Phi(x) + x phi(x), phi(x) = e^(-x^2/2) / sqrt(2 pi): the exponential is the one that erf computes.
NW_INLINE void gelu_parts(Vec x, Vec* cdf, Vec* slope) {
  const Vec z = broadcast(0.70710678f) * x;
  *cdf = fma(broadcast(0.5f), erf(z), broadcast(0.5f));
  *slope = fma(x * broadcast(0.39894228f), exp(zero() - z * z), *cdf);
}

template <Activation kind>
NW_INLINE Vec derivative(Vec x) {
  if constexpr (kind == Activation::kGelu) {
    Vec cdf, slope;
    gelu_parts(x, &cdf, &slope);
    return slope;
  } else {
    const Vec k = broadcast(kind == Activation::kSilu ? 1.0f : 1.702f);
    const Vec s = sigmoid(k * x);
    return s * fma(k * x, one() - s, one());
  }
}

template <Activation kind, class T>
void forward_typed(const ActivationParams& p) {
  const auto* x = static_cast<const T*>(p.x);
  auto* y = static_cast<T*>(p.y);
  parallel_chunks(p.count, kChunk, [&](int64_t begin, int64_t end) {
    for_vectors(end - begin,
                [&](int64_t i, auto n) { store_up_to(y + begin + i, value<kind>(load_up_to(x + begin + i, n)), n); });
  });
}

template <Activation kind, class T>
void backward_typed(const ActivationParams& p) {
  const auto *x = static_cast<const T*>(p.x), *dy = static_cast<const T*>(p.dy);
  auto* dx = static_cast<T*>(p.y);
  parallel_chunks(p.count, kChunk, [&](int64_t begin, int64_t end) {
    for_vectors(end - begin, [&](int64_t i, auto n) {
      const Vec slope = derivative<kind>(load_up_to(x + begin + i, n));
      store_up_to(dx + begin + i, load_up_to(dy + begin + i, n) * slope, n);
    });
  });
}

template <class Body>
void with_kind_and_type(const ActivationParams& p, Body&& body) {
  with_float_type(p.dtype, [&](auto* t) {
    switch (p.kind) {
      case Activation::kSilu:
        return body(std::integral_constant<Activation, Activation::kSilu>{}, t);
      case Activation::kGelu:
        return body(std::integral_constant<Activation, Activation::kGelu>{}, t);
      case Activation::kQuickGelu:
        return body(std::integral_constant<Activation, Activation::kQuickGelu>{}, t);
    }
  });
}

// Calls body(row, first column, past the last column) so that a task covers about kChunk elements of [rows, half].
template <class Body>
void for_row_pieces(int64_t rows, int64_t half, Body&& body) {
  if (half == 0) return;
  const int64_t pieces = (half + kChunk - 1) / kChunk, per_task = pieces > 1 ? 1 : (kChunk + half - 1) / half;
  parallel_chunks(rows * pieces, per_task, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; task++) {
      const int64_t first = task % pieces * kChunk;
      body(task / pieces, first, first + kChunk < half ? first + kChunk : half);
    }
  });
}

template <class T>
void geglu_forward_typed(const GegluParams& p) {
  for_row_pieces(p.rows, p.half, [&](int64_t row, int64_t first, int64_t last) {
    const T *u = static_cast<const T*>(p.x) + row * 2 * p.half + first, *v = u + p.half;
    T* y = static_cast<T*>(p.y) + row * p.half + first;
    for_vectors(last - first, [&](int64_t i, auto n) {
      store_up_to(y + i, load_up_to(u + i, n) * value<Activation::kGelu>(load_up_to(v + i, n)), n);
    });
  });
}

template <class T>
void geglu_backward_typed(const GegluParams& p) {
  for_row_pieces(p.rows, p.half, [&](int64_t row, int64_t first, int64_t last) {
    const T *u = static_cast<const T*>(p.x) + row * 2 * p.half + first, *v = u + p.half;
    const T* dy = static_cast<const T*>(p.dy) + row * p.half + first;
    T *du = static_cast<T*>(p.y) + row * 2 * p.half + first, *dv = du + p.half;
    for_vectors(last - first, [&](int64_t i, auto n) {
      const Vec g = load_up_to(dy + i, n), gate = load_up_to(v + i, n);
      Vec cdf, slope;
      gelu_parts(gate, &cdf, &slope);
      store_up_to(du + i, g * (gate * cdf), n);
      store_up_to(dv + i, g * load_up_to(u + i, n) * slope, n);
    });
  });
}

}  // namespace

void activation_forward(const ActivationParams& p) {
  with_kind_and_type(
      p, [&](auto kind, auto* t) { forward_typed<decltype(kind)::value, std::remove_pointer_t<decltype(t)>>(p); });
}

void activation_backward(const ActivationParams& p) {
  with_kind_and_type(
      p, [&](auto kind, auto* t) { backward_typed<decltype(kind)::value, std::remove_pointer_t<decltype(t)>>(p); });
}

void geglu_forward(const GegluParams& p) {
  with_float_type(p.dtype, [&](auto* t) { geglu_forward_typed<std::remove_pointer_t<decltype(t)>>(p); });
}

void geglu_backward(const GegluParams& p) {
  with_float_type(p.dtype, [&](auto* t) { geglu_backward_typed<std::remove_pointer_t<decltype(t)>>(p); });
}

}  // namespace noisewright::NOISEWRIGHT_TARGET

// Memory bound: forward reads x and writes y once as far as main memory goes; a row stays in the cache between its
// three passes.
#include "ops/softmax/softmax.h"

#include <type_traits>

#include "core/elementary.h"
#include "core/parallel.h"
#include "core/simd.h"

namespace noisewright::NOISEWRIGHT_TARGET {

namespace {

constexpr int64_t kChunk = 16384;  // elements of a task, at least one row
constexpr int64_t kPart =
    512;  // elements summed before they join the sum of the row, whose rounding errors stay small so

// The last n < kLanes elements of a row; the other lanes are -inf, which neither the maximum nor the sum of
// exponentials sees.
template <class T>
NW_INLINE Vec load_last(const T* p, int64_t n) {
  float buffer[kLanes];
  for (int64_t i = 0; i < kLanes; i++) buffer[i] = i < n ? to_float(p[i]) : -INFINITY;
  return load(buffer);
}
template <class T>
NW_INLINE Vec load_or_last(const T* p, int64_t n) {
  return n >= kLanes ? load(p) : load_last(p, n);
}

template <class T>
NW_INLINE void softmax_row(const T* x, T* y, int64_t count) {
  Vec maxima = broadcast(-INFINITY);
  for (int64_t i = 0; i < count; i += kLanes) maxima = max(maxima, load_or_last(x + i, count - i));
  const Vec shift = broadcast(max_lanes(maxima));
  Vec sum = zero();
  for (int64_t start = 0; start < count; start += kPart) {
    Vec part = zero();
    const int64_t end = start + kPart < count ? start + kPart : count;
    for (int64_t i = start; i < end; i += kLanes) {
      const Vec e = exp(load_or_last(x + i, count - i) - shift);
      part = part + e;
      if constexpr (std::is_same_v<T, float>) store_up_to(y + i, e, count - i);
    }
    sum = sum + part;
  }
  const Vec factor = broadcast(1.0f / sum_lanes(sum));
  for (int64_t i = 0; i < count; i += kLanes) {
    if constexpr (std::is_same_v<T, float>)
      store_up_to(y + i, load_up_to(y + i, count - i) * factor, count - i);
    else  // e is not kept in 16 bits but computed again
      store_up_to(y + i, exp(load_or_last(x + i, count - i) - shift) * factor, count - i);
  }
}

template <class T>
NW_INLINE void softmax_gradient_row(const T* dy, const T* y, T* dx, int64_t count) {
  Vec sum = zero();
  for (int64_t start = 0; start < count; start += kPart) {
    Vec part = zero();
    const int64_t end = start + kPart < count ? start + kPart : count;
    for (int64_t i = start; i < end; i += kLanes)
      part = fma(load_up_to(dy + i, count - i), load_up_to(y + i, count - i), part);
    sum = sum + part;
  }
  const Vec dot = broadcast(sum_lanes(sum));
  for (int64_t i = 0; i < count; i += kLanes)
    store_up_to(dx + i, load_up_to(y + i, count - i) * (load_up_to(dy + i, count - i) - dot), count - i);
}

}  // namespace

void softmax_forward(const SoftmaxForwardParams& p) {
  with_float_type(p.dtype, [&](auto* t) {
    using T = std::remove_pointer_t<decltype(t)>;
    const auto* x = static_cast<const T*>(p.x);
    auto* y = static_cast<T*>(p.y);
    parallel_chunks(p.rows, (kChunk + p.columns - 1) / p.columns, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; row++) softmax_row(x + row * p.columns, y + row * p.columns, p.columns);
    });
  });
}

void softmax_backward(const SoftmaxBackwardParams& p) {
  with_float_type(p.dtype, [&](auto* t) {
    using T = std::remove_pointer_t<decltype(t)>;
    const auto *dy = static_cast<const T*>(p.dy), *y = static_cast<const T*>(p.y);
    auto* dx = static_cast<T*>(p.dx);
    parallel_chunks(p.rows, (kChunk + p.columns - 1) / p.columns, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; row++)
        softmax_gradient_row(dy + row * p.columns, y + row * p.columns, dx + row * p.columns, p.columns);
    });
  });
}

}  // namespace noisewright::NOISEWRIGHT_TARGET

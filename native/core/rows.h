// Loops that the row-wise kernels (norms, reductions) share. Included only by kernel files.
#pragma once
#include <type_traits>

#include "core/parallel.h"
#include "core/simd.h"

namespace noisewright::NOISEWRIGHT_TARGET {
namespace {

// body(i, n) for each vector of [0, count): n is a constant but for the last, shorter one.
template <class Body>
NW_INLINE void for_vectors(int64_t count, Body&& body) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) body(i, std::integral_constant<int64_t, kLanes>{});
  if (i < count) body(i, count - i);
}

NW_INLINE void clear(float* values, int64_t count) {
  for (int64_t i = 0; i < count; i++) values[i] = 0.0f;
}

// n floats rounded up to whole vectors of any target: the length of scratch rows that tasks read and write without
// tails.
NW_INLINE int64_t padded_length(int64_t count) { return (count + 15) / 16 * 16; }

// out[0..count) = the float values of x, which has the given dtype. Parameter vectors may be stored in another float
// type than the activations: kernels widen them first.
NW_INLINE void widen(const void* x, DType dtype, float* out, int64_t count) {
  with_float_type(dtype, [&](auto* t) {
    const auto* from = static_cast<const std::remove_pointer_t<decltype(t)>*>(x);
    for (int64_t i = 0; i < count; i++) out[i] = to_float(from[i]);
  });
}

// totals[0..count) = sum over `terms` rows of partials, `stride` apart, in row order and double precision.
inline void add_partials(const float* partials, int64_t terms, int64_t stride, float* totals, int64_t count) {
  constexpr int64_t kBlock = 64;
  parallel_chunks(count, kBlock, [&](int64_t begin, int64_t end) {
    double sums[kBlock] = {};
    for (int64_t k = 0; k < terms; k++)
      for (int64_t i = begin; i < end; i++) sums[i - begin] += static_cast<double>(partials[k * stride + i]);
    for (int64_t i = begin; i < end; i++) totals[i] = static_cast<float>(sums[i - begin]);
  });
}

}  // namespace
}  // namespace noisewright::NOISEWRIGHT_TARGET

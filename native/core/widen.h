// Parameter vectors (norm weights, biases) may be stored in another float type than the activations: kernels widen them first.
// Included only by kernel files, after core/simd.h.
#pragma once
#include <type_traits>

#include "core/simd.h"

namespace noisewright::NOISEWRIGHT_TARGET {
namespace {

// out[0..count) = the float values of x, which has the given dtype.
NW_INLINE void widen(const void* x, DType dtype, float* out, int64_t count) {
  with_float_type(dtype, [&](auto* t) {
    const auto* from = static_cast<const std::remove_pointer_t<decltype(t)>*>(x);
    for (int64_t i = 0; i < count; i++) out[i] = to_float(from[i]);
  });
}

}  // namespace
}  // namespace noisewright::NOISEWRIGHT_TARGET

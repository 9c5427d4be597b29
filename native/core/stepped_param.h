// How the kernels of optimizers read and write a parameter, which is float32 or, without a float32 master, of a 16-bit
// float type. An Entry has param and its dtype, copy and its copy_dtype, and stream, a Rounding seed and
// stochastic_rounding, as in OptimizerEntry and OptimizerParams. Included by kernel files alone.
#pragma once
#include <cstring>

#include "core/philox.h"
#include "core/simd.h"

namespace noisewright::NOISEWRIGHT_TARGET {
namespace {

// Elements i to i + left, at most a vector of them.
template <class Entry>
NW_INLINE Vec load_param(const Entry& e, int64_t i, int64_t left) {
  if (e.dtype == DType::kFloat32) return load_up_to(static_cast<const float*>(e.param) + i, left);
  return e.dtype == DType::kBFloat16 ? load_up_to(static_cast<const bfloat16*>(e.param) + i, left)
                                     : load_up_to(static_cast<const float16*>(e.param) + i, left);
}

template <class Entry>
NW_INLINE float param_at(const Entry& e, int64_t i) {
  float value;
  with_float_type(e.dtype, [&](auto* t) { value = to_float(static_cast<decltype(t)>(e.param)[i]); });
  return value;
}

// Unbiased rounding: up with the probability of the part cut off. Infinities, NaN and the last binade are cut.
NW_INLINE uint16_t bfloat16_by_chance(float x, uint32_t random) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  const uint32_t magnitude = bits & 0x7FFFFFFF;
  if (magnitude > 0x7F800000) return 0x7FC0;
  if (magnitude < 0x7F7F0000) bits += random & 0xFFFF;
  return static_cast<uint16_t>(bits >> 16);
}
// The same; what is no smaller than the largest number goes to nearest. Below 2^-14 the numbers are multiples of 2^-24.
NW_INLINE uint16_t float16_by_chance(float x, uint32_t random) {
  const float magnitude = __builtin_fabsf(x);
  if (!(magnitude < 65504.0f)) return from_float<float16>(x).bits;
  uint32_t bits;
  if (magnitude >= 0x1p-14f) {
    std::memcpy(&bits, &x, 4);
    bits = (bits + (random & 0x1FFF)) & ~uint32_t{0x1FFF};
    std::memcpy(&x, &bits, 4);
    return from_float<float16>(x).bits;
  }
  const float multiple = magnitude * 0x1p24f;
  bits = static_cast<uint32_t>(multiple);
  if (static_cast<float>(random & 0xFFFF) < (multiple - static_cast<float>(bits)) * 0x1p16f) bits++;
  return static_cast<uint16_t>(bits | (__builtin_signbit(x) ? 0x8000 : 0));
}

// To one of the 16-bit types, to nearest.
NW_INLINE void store_rounded(void* to, DType dtype, int64_t i, Vec values, int64_t left) {
  if (dtype == DType::kBFloat16)
    store_up_to(static_cast<bfloat16*>(to) + i, values, left);
  else
    store_up_to(static_cast<float16*>(to) + i, values, left);
}

// To a 16-bit type, up or down by chance. The random number of an element depends on its place alone. Not inlined: it
// would take registers from the loops over float32 parameters.
__attribute__((noinline)) void store_by_chance(void* to, DType dtype, PhiloxStream stream, int64_t i, Vec values,
                                               int64_t left) {
  float lanes[kLanes];
  store(lanes, values);
  PhiloxBlock random{};
  for (int64_t lane = 0; lane < kLanes && lane < left; lane++) {
    const int64_t at = i + lane;
    if (lane == 0 || at % 4 == 0) random = philox_block(stream, static_cast<uint64_t>(at) / 4);
    static_cast<uint16_t*>(to)[at] = dtype == DType::kBFloat16 ? bfloat16_by_chance(lanes[lane], random.v[at % 4])
                                                               : float16_by_chance(lanes[lane], random.v[at % 4]);
  }
}

// The new values, also of the copy.
template <class Rounding, class Entry>
NW_INLINE void store_param(const Rounding& rounding, const Entry& e, int64_t i, Vec param, int64_t left) {
  if (e.copy) store_rounded(e.copy, e.copy_dtype, i, param, left);
  if (e.dtype == DType::kFloat32)
    store_up_to(static_cast<float*>(e.param) + i, param, left);
  else if (rounding.stochastic_rounding)
    store_by_chance(e.param, e.dtype, {rounding.seed, e.stream}, i, param, left);
  else
    store_rounded(e.param, e.dtype, i, param, left);
}

}  // namespace
}  // namespace noisewright::NOISEWRIGHT_TARGET

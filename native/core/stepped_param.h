// How the kernels of optimizers read and write a parameter, which is float32 or, without a float32 master, bfloat16.
// An Entry has param, copy, half and stream, a Rounding seed and stochastic_rounding, as in OptimizerEntry and
// OptimizerParams. Included by kernel files alone.
#pragma once
#include <cstring>

#include "core/philox.h"
#include "core/simd.h"

namespace noisewright::NOISEWRIGHT_TARGET {
namespace {

// Elements i to i + left, at most a vector of them.
template <class Entry>
NW_INLINE Vec load_param(const Entry& e, int64_t i, int64_t left) {
  return e.half ? load_up_to(static_cast<const bfloat16*>(e.param) + i, left)
                : load_up_to(static_cast<const float*>(e.param) + i, left);
}

template <class Entry>
NW_INLINE float param_at(const Entry& e, int64_t i) {
  return e.half ? to_float(static_cast<const bfloat16*>(e.param)[i]) : static_cast<const float*>(e.param)[i];
}

// Unbiased rounding: up with the probability of the part cut off. Infinities, NaN and the last binade are cut.
NW_INLINE bfloat16 round_stochastically(float x, uint32_t random) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  const uint32_t magnitude = bits & 0x7FFFFFFF;
  if (magnitude > 0x7F800000) return {0x7FC0};
  if (magnitude < 0x7F7F0000) bits += random & 0xFFFF;
  return {static_cast<uint16_t>(bits >> 16)};
}

// The new values, also of the copy. The random number of an element depends on its place alone.
template <class Rounding, class Entry>
NW_INLINE void store_param(const Rounding& rounding, const Entry& e, int64_t i, Vec param, int64_t left) {
  if (e.copy) store_up_to(e.copy + i, param, left);
  if (!e.half) return store_up_to(static_cast<float*>(e.param) + i, param, left);
  auto* half = static_cast<bfloat16*>(e.param);
  if (!rounding.stochastic_rounding) return store_up_to(half + i, param, left);
  float values[kLanes];
  store(values, param);
  PhiloxBlock random{};
  for (int64_t lane = 0; lane < kLanes && lane < left; lane++) {
    const int64_t at = i + lane;
    if (lane == 0 || at % 4 == 0) random = philox_block({rounding.seed, e.stream}, static_cast<uint64_t>(at) / 4);
    half[at] = round_stochastically(values[lane], random.v[at % 4]);
  }
}

}  // namespace
}  // namespace noisewright::NOISEWRIGHT_TARGET

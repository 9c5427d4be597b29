// core/stepped_param.h for GPUs: how the kernels of optimizers read and write a parameter, which is float32 or, without
// a float32 master, of a 16-bit float type. An Entry has param and its dtype, copy and its copy_dtype, and stream, a
// Rounding seed and stochastic_rounding, as in OptimizerEntry and OptimizerParams.
#pragma once
#include "core/philox.h"
#include "cuda/elementwise.cuh"
#include "cuda/entries.cuh"

namespace noisewright::gpu {

__device__ inline float infinity() { return __uint_as_float(0x7F800000u); }

// Unbiased rounding, as in core/stepped_param.h: up with the probability of the part cut off. Infinities, NaN and the
// last binade are cut.
__device__ inline bfloat16 bfloat16_by_chance(float x, uint32_t random) {
  uint32_t bits = __float_as_uint(x);
  const uint32_t magnitude = bits & 0x7FFFFFFFu;
  if (magnitude > 0x7F800000u) return {0x7FC0};
  if (magnitude < 0x7F7F0000u) bits += random & 0xFFFFu;
  return {static_cast<uint16_t>(bits >> 16)};
}
// The same; what is no smaller than the largest number goes to nearest. Below 2^-14 the numbers are multiples of 2^-24.
__device__ inline float16 float16_by_chance(float x, uint32_t random) {
  const float magnitude = fabsf(x);
  float16 result;
  if (!(magnitude < 65504.0f)) {
    store(&result, x);
  } else if (magnitude >= 0x1p-14f) {
    store(&result, __uint_as_float((__float_as_uint(x) + (random & 0x1FFFu)) & ~0x1FFFu));
  } else {
    const float multiple = magnitude * 0x1p24f;
    auto bits = static_cast<uint32_t>(multiple);
    if (static_cast<float>(random & 0xFFFFu) < (multiple - static_cast<float>(bits)) * 0x1p16f) bits++;
    result.bits = static_cast<uint16_t>(bits | (__float_as_uint(x) >> 16 & 0x8000u));
  }
  return result;
}

__device__ inline void store_by_chance(void* to, DType dtype, int64_t i, float x, uint32_t random) {
  if (dtype == DType::kBFloat16)
    static_cast<bfloat16*>(to)[i] = bfloat16_by_chance(x, random);
  else
    static_cast<float16*>(to)[i] = float16_by_chance(x, random);
}
__device__ inline void store_rounded(void* to, DType dtype, int64_t i, float x) {
  if (dtype == DType::kBFloat16)
    store(static_cast<bfloat16*>(to) + i, x);
  else
    store(static_cast<float16*>(to) + i, x);
}

// The random number of an element depends on its place alone.
__device__ inline uint32_t random_of(const PhiloxStream& stream, int64_t i) {
  const PhiloxBlock block = philox_block(stream, static_cast<uint64_t>(i) / 4);
  const uint32_t low = i % 2 ? block.v[1] : block.v[0], high = i % 2 ? block.v[3] : block.v[2];  // not by an index,
  return i % 4 < 2 ? low : high;  // which would keep the block in memory
}

template <class Entry>
__device__ inline float load_param(const Entry& e, int64_t i) {
  return load_any(e.param, e.dtype, i);
}
// The new value, also of the copy.
template <class Rounding, class Entry>
__device__ inline void store_param(const Rounding& rounding, const Entry& e, int64_t i, float param) {
  if (e.copy) store_rounded(e.copy, e.copy_dtype, i, param);
  if (e.dtype == DType::kFloat32)
    static_cast<float*>(e.param)[i] = param;
  else if (rounding.stochastic_rounding)
    store_by_chance(e.param, e.dtype, i, param, random_of({rounding.seed, e.stream}, i));
  else
    store_rounded(e.param, e.dtype, i, param);
}

// The same for four neighbours from i on, a multiple of four, of which `left` exist. wide: param and copy are aligned.
__device__ inline void store_four_rounded(void* to, DType dtype, int64_t i, const Four& x, bool wide, int64_t left) {
  if (dtype == DType::kBFloat16)
    store_four(static_cast<bfloat16*>(to) + i, x, wide, left);
  else
    store_four(static_cast<float16*>(to) + i, x, wide, left);
}
template <class Entry>
__device__ inline Four load_params(const Entry& e, int64_t i, bool wide, int64_t left) {
  if (e.dtype == DType::kBFloat16) return load_four(static_cast<const bfloat16*>(e.param) + i, wide, left);
  if (e.dtype == DType::kFloat16) return load_four(static_cast<const float16*>(e.param) + i, wide, left);
  return load_four(static_cast<const float*>(e.param) + i, wide, left);
}
template <class Rounding, class Entry>
__device__ inline void store_params(const Rounding& rounding, const Entry& e, int64_t i, const Four& x, bool wide,
                                    int64_t left) {
  if (e.copy) store_four_rounded(e.copy, e.copy_dtype, i, x, wide, left);
  if (e.dtype == DType::kFloat32) {
    store_four(static_cast<float*>(e.param) + i, x, wide, left);
  } else if (rounding.stochastic_rounding) {
    const PhiloxBlock random = philox_block({rounding.seed, e.stream}, static_cast<uint64_t>(i) / 4);
    for (int k = 0; k < 4 && k < left; k++) store_by_chance(e.param, e.dtype, i + k, x.v[k], random.v[k]);
  } else {
    store_four_rounded(e.param, e.dtype, i, x, wide, left);
  }
}

}  // namespace noisewright::gpu

// Memory bound, like the CPU kernel, whose arithmetic this repeats operation by operation. A thread block has one
// thread for each element of a block of 256 and works through an eighth of a task; the tables of the 8-bit maps wait in
// shared memory (4 KiB). The nearest code is found by bisection over the midpoints.
#include "ops/optimizer_step/optimizer_step_cuda.h"

#include "cuda/gpu.h"
#include "cuda/reduce.cuh"
#include "cuda/scalar_vec.cuh"
#include "ops/optimizer_step/optimizer_rules.h"
#include "ops/optimizer_step/optimizer_step.h"

namespace noisewright::cuda {

namespace {

__device__ inline float infinity() { return __uint_as_float(0x7F800000u); }

__device__ inline float load_param(const OptimizerEntry& e, int64_t i) { return gpu::load_any(e.param, e.dtype, i); }

// Unbiased rounding: up with the probability of the part cut off. Infinities, NaN and the last binade are cut.
__device__ inline bfloat16 round_stochastically(float x, uint32_t random) {
  uint32_t bits = __float_as_uint(x);
  const uint32_t magnitude = bits & 0x7FFFFFFFu;
  if (magnitude > 0x7F800000u) return {0x7FC0};
  if (magnitude < 0x7F7F0000u) bits += random & 0xFFFFu;
  return {static_cast<uint16_t>(bits >> 16)};
}

__device__ inline void store_param(const OptimizerParams& p, const OptimizerEntry& e, int64_t i, float param) {
  if (e.copy) gpu::store(static_cast<bfloat16*>(e.copy) + i, param);
  if (e.dtype == DType::kFloat32) {
    static_cast<float*>(e.param)[i] = param;
    return;
  }
  auto* half = static_cast<bfloat16*>(e.param) + i;
  if (p.stochastic_rounding)
    *half = round_stochastically(param, philox_block({p.seed, e.stream}, static_cast<uint64_t>(i) / 4).v[i % 4]);
  else
    gpu::store(half, param);
}

// What surrounds the rule for one element: the states are replaced, the new parameter returned.
template <class Rule, int kStates>
__device__ inline float update(const OptimizerParams& p, const OptimizerEntry& e, float scale, float param, float raw,
                               Vec (&s)[kStates]) {
  float g = raw * scale;
  if (e.l2 != 0.0f) g = fmaf(e.l2, param, g);
  const float stepped = Rule(e.k, e.mode)(Vec{p.decay_after ? param : param * e.decay}, Vec{g}, s).v;
  const float next = p.decay_after ? stepped * e.decay : stepped;
  if (!p.skip_invalid || fabsf(raw) < infinity()) return next;
  for (int k = 0; k < kStates; k++) s[k] = zero();
  return param;
}

// The nearest code of u in [0, 1]; exact midpoints go to the even code. Larger numbers and NaN saturate.
__device__ inline int magnitude_code(const float* midpoints, float u) {
  int code = 0;  // midpoints below u
  for (int step = 128; step > 0; step /= 2)
    if (!(u <= midpoints[code + step - 1])) code += step;
  return code < 255 && u == midpoints[code] ? code + (code & 1) : code;
}

// The values of the signed map mirror each other: code 254 - k holds the negative of code k, apart from 255. A negative
// number never becomes zero.
__device__ inline uint8_t signed_code(const float* midpoints, float x) {
  const int code = magnitude_code(midpoints, fabsf(x)), mirrored = 254 - (code < 128 ? 128 : code);
  return static_cast<uint8_t>(__float_as_uint(x) >> 31 ? (mirrored < 0 ? 0 : mirrored) : code);
}

// The last entry whose tasks start at or before this one.
__device__ inline const OptimizerEntry& entry_of(const OptimizerParams& p, int64_t task) {
  int64_t low = 0, high = p.entry_count - 1;
  while (low < high) {
    const int64_t middle = (low + high + 1) / 2;
    if (p.entries[middle].first_task <= task)
      low = middle;
    else
      high = middle - 1;
  }
  return p.entries[low];
}

template <class Rule, int kStates>
__device__ inline void step(const OptimizerParams& p, const OptimizerTables* tables) {
  SHARED(OptimizerTables, table, [1]);
  SHARED(float, part, [gpu::kWarpSize]);
  if (p.clip && !(p.clip[0] < infinity())) return;
  const int64_t task = blockIdx.x;
  const OptimizerEntry& e = entry_of(p, task);
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t blocks_of_task = kOptimizerTask / kQuantizationBlock / kOptimizerSlices;
  const int64_t begin = (task - e.first_task) * kOptimizerTask + blockIdx.y * blocks_of_task * kQuantizationBlock;
  if (begin >= e.count) return;
  const bool codes = e.absmax[0];
  if (codes) {
    table[0].signed_value[thread] = tables->signed_value[thread];
    table[0].signed_midpoint[thread] = tables->signed_midpoint[thread];
    table[0].unsigned_value[thread] = tables->unsigned_value[thread];
    table[0].unsigned_midpoint[thread] = tables->unsigned_midpoint[thread];
    __syncthreads();
  }
  const float scale = p.clip ? p.clip[1] : 1.0f;
  for (int64_t index = 0; index < blocks_of_task && begin + index * kQuantizationBlock < e.count; index++) {
    const int64_t block = begin / kQuantizationBlock + index, i = begin + index * kQuantizationBlock + thread;
    const bool exists = i < e.count;
    Vec s[kStates];
    for (int k = 0; k < kStates; k++) {
      s[k] = zero();
      if (!exists || !e.state[k]) continue;
      const float* values = (p.signed_states >> k & 1) ? table[0].signed_value : table[0].unsigned_value;
      s[k] = {codes ? values[static_cast<uint8_t*>(e.state[k])[i]] * e.absmax[k][block]
                    : static_cast<float*>(e.state[k])[i]};
    }
    if (exists) store_param(p, e, i, update<Rule>(p, e, scale, load_param(e, i), e.gradient[i], s));
    for (int k = 0; k < kStates; k++) {
      if (!e.state[k]) continue;
      if (!codes) {
        if (exists) static_cast<float*>(e.state[k])[i] = s[k].v;
        continue;
      }
      const bool is_signed = (p.signed_states >> k & 1);
      const float largest = gpu::reduce_block<gpu::Max>(fabsf(s[k].v), part);
      if (exists) {
        auto& code = static_cast<uint8_t*>(e.state[k])[i];
        if (largest == 0.0f)
          code = is_signed ? 127 : 0;
        else if (is_signed)
          code = signed_code(table[0].signed_midpoint, s[k].v / largest);
        else
          code = static_cast<uint8_t>(magnitude_code(table[0].unsigned_midpoint, s[k].v / largest));
      }
      if (thread == 0) e.absmax[k][block] = largest;
    }
  }
}

}  // namespace

#define OPTIMIZER_RULE(Type, name, states, ...)                                 \
  extern "C" __global__ void __launch_bounds__(kOptimizerThreads)               \
      optimizer_step_##name(OptimizerParams p, const OptimizerTables* tables) { \
    step<Type, states>(p, tables);                                              \
  }                                                                             \
  KERNEL(optimizer_step_##name);
#include "ops/optimizer_step/optimizer_rule_list.h"
#undef OPTIMIZER_RULE

}  // namespace noisewright::cuda

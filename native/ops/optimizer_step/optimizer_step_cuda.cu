// Memory bound, like the CPU kernel, whose arithmetic this repeats operation by operation. A thread block has one
// thread for each element of a block of 256 and works through an eighth of a task; the tables of the 8-bit maps wait in
// shared memory (4 KiB). A warp reads 128 bytes of float32 states at once, and codes too, by way of shared memory:
// states of paged optimizers come over the bus, which wants whole lines (cuda/pinned.h).
//
// Arithmetic, not measured on a GPU. Bytes for a float32 parameter, all needed: AdamW 28 (gradient 4, parameter and two
// states 8 each), AdamW with 8-bit states 16 (4, 8, 2 for each state) and 16 for the scales of 256; Lion 20 and 14. An
// 8-bit state costs a look-up, a maximum over the block (two barriers), two barriers for its codes and a search of 8
// steps in shared memory. Expected of the memory bandwidth: 75 to 85 % with 32-bit states; 50 to 65 % with 8-bit ones,
// as far as other blocks of the multiprocessor work while one waits at barriers.
#include "ops/optimizer_step/optimizer_step_cuda.h"

#include "cuda/gpu.h"
#include "cuda/quantization.cuh"
#include "cuda/reduce.cuh"
#include "cuda/scalar_vec.cuh"
#include "cuda/stepped_param.cuh"
#include "ops/optimizer_step/optimizer_rules.h"
#include "ops/optimizer_step/optimizer_step.h"

namespace noisewright::cuda {

namespace {

// What surrounds the rule for one element: the states are replaced, the new parameter returned.
template <class Rule, int kStates>
__device__ inline float update(const OptimizerParams& p, const OptimizerEntry& e, float scale, float param, float raw,
                               Vec (&s)[kStates]) {
  float g = raw * scale;
  if (e.l2 != 0.0f) g = fmaf(e.l2, param, g);
  const float stepped = Rule(e.k, e.mode)(Vec{p.decay_after ? param : param * e.decay}, Vec{g}, s).v;
  const float next = p.decay_after ? stepped * e.decay : stepped;
  if (!p.skip_invalid || fabsf(raw) < gpu::infinity()) return next;
  for (int k = 0; k < kStates; k++) s[k] = zero();
  return param;
}

constexpr int kCodeWords = kQuantizationBlock / 4;  // of four codes each, in a block

// Whether the codes of every state may be read by words.
template <int kStates>
__device__ inline bool codes_are_words(const OptimizerEntry& e) {
  bool aligned = true;
  for (int k = 0; k < kStates; k++) aligned = aligned && reinterpret_cast<uintptr_t>(e.state[k]) % 4 == 0;
  return aligned;
}

template <class Rule, int kStates>
__device__ inline void step(const OptimizerParams& p, const OptimizerTables* tables) {
  SHARED(OptimizerTables, table, [1]);
  SHARED(float, part, [gpu::kWarpSize]);
  SHARED(uint32_t, words, [kStates][kCodeWords]);  // the codes of a block that is whole
  if (p.clip && !(p.clip[0] < gpu::infinity())) return;
  const int64_t task = blockIdx.x;
  const OptimizerEntry& e = gpu::entry_of(p, task);
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
  // Thread t carries word t % 64 of state t / 64, in and out.
  const int word_state = thread / kCodeWords, word = thread % kCodeWords;
  const bool by_words = codes && codes_are_words<kStates>(e);
  const bool carries = word_state < kStates && e.state[word_state < kStates ? word_state : 0];
  for (int64_t index = 0; index < blocks_of_task && begin + index * kQuantizationBlock < e.count; index++) {
    const int64_t block = begin / kQuantizationBlock + index, i = begin + index * kQuantizationBlock + thread;
    const bool exists = i < e.count;
    const bool whole = by_words && begin + (index + 1) * kQuantizationBlock <= e.count;
    const float param = exists ? gpu::load_param(e, i) : 0.0f, gradient = exists ? e.gradient[i] : 0.0f;
    if (whole) {
      if (carries)
        words[word_state][word] = static_cast<const uint32_t*>(e.state[word_state])[block * kCodeWords + word];
      __syncthreads();
    }
    Vec s[kStates];
    for (int k = 0; k < kStates; k++) {
      s[k] = zero();
      if (!exists || !e.state[k]) continue;
      const float* values = (p.signed_states >> k & 1) ? table[0].signed_value : table[0].unsigned_value;
      const uint8_t* code =
          whole ? reinterpret_cast<const uint8_t*>(words[k]) + thread : static_cast<const uint8_t*>(e.state[k]) + i;
      s[k] = {codes ? values[*code] * e.absmax[k][block] : static_cast<const float*>(e.state[k])[i]};
    }
    if (exists) gpu::store_param(p, e, i, update<Rule>(p, e, scale, param, gradient, s));
    for (int k = 0; k < kStates; k++) {
      if (!e.state[k]) continue;
      if (!codes) {
        if (exists) static_cast<float*>(e.state[k])[i] = s[k].v;
        continue;
      }
      const bool is_signed = (p.signed_states >> k & 1);
      const float largest = gpu::reduce_block<gpu::Max>(fabsf(s[k].v), part);
      if (exists) {
        auto& code = whole ? reinterpret_cast<uint8_t*>(words[k])[thread] : static_cast<uint8_t*>(e.state[k])[i];
        if (largest == 0.0f)
          code = is_signed ? 127 : 0;
        else if (is_signed)
          code = gpu::signed_code<true>(table[0].signed_midpoint, s[k].v / largest);
        else
          code = static_cast<uint8_t>(gpu::magnitude_code(table[0].unsigned_midpoint, s[k].v / largest));
      }
      if (thread == 0) e.absmax[k][block] = largest;
    }
    if (whole) {
      __syncthreads();
      if (carries) static_cast<uint32_t*>(e.state[word_state])[block * kCodeWords + word] = words[word_state][word];
    }
  }
}

}  // namespace

#define OPTIMIZER_RULE(Type, name, states, ...)                                 \
  extern "C" __global__ void __launch_bounds__(kOptimizerThreads, 4)            \
      optimizer_step_##name(OptimizerParams p, const OptimizerTables* tables) { \
    step<Type, states>(p, tables);                                              \
  }                                                                             \
  KERNEL(optimizer_step_##name);
#include "ops/optimizer_step/optimizer_rule_list.h"
#undef OPTIMIZER_RULE

}  // namespace noisewright::cuda

// Memory bound: parameter, gradient and states are read once, parameter and states written once (AdamW: 28 bytes for a
// parameter with float32 states, 16 with codes). A task is 64 blocks of 256 elements of one tensor; a block of codes is
// decoded to the stack, updated with the block's new largest magnitudes, and encoded again.
#include "ops/optimizer_step/optimizer_step.h"

#include "core/parallel.h"
#include "core/quantization_cpu.h"
#include "core/simd.h"
#include "core/stepped_param.h"
#include "ops/optimizer_step/optimizer_rules.h"

namespace noisewright::NOISEWRIGHT_TARGET {

namespace {

// What surrounds the rule for one element.
template <class Rule>
struct Update {
  Rule rule;
  Vec scale, infinity, l2, decay;
  bool coupled, decay_after, skip_invalid;

  Update(const OptimizerEntry& e, const OptimizerParams& p)
      : rule(e.k, e.mode),
        scale(broadcast(p.clip ? p.clip[1] : 1.0f)),
        infinity(broadcast(__builtin_inff())),
        l2(broadcast(e.l2)),
        decay(broadcast(e.decay)),
        coupled(e.l2 != 0.0f),
        decay_after(p.decay_after),
        skip_invalid(p.skip_invalid) {}

  // kLanes elements: the states s are replaced, the new parameters returned.
  template <int kStates>
  NW_INLINE Vec apply(Vec param, Vec raw, Vec (&s)[kStates]) const {
    Vec g = raw * scale;
    if (coupled) g = fma(l2, param, g);
    const Vec stepped = rule(decay_after ? param : param * decay, g, s);
    const Vec next = decay_after ? stepped * decay : stepped;
    if (!skip_invalid) return next;
    for (Vec& state : s) state = select_less(abs(raw), infinity, state, zero());
    return select_less(abs(raw), infinity, next, param);
  }
};

template <class Rule, int kStates>
void step_float32(const OptimizerParams& p, const OptimizerEntry& e, const Update<Rule>& update, int64_t begin,
                  int64_t end) {
  for (int64_t i = begin; i < end; i += kLanes) {
    const int64_t left = end - i;
    Vec s[kStates];
    for (int k = 0; k < kStates; k++)
      s[k] = e.state[k] ? load_up_to(static_cast<float*>(e.state[k]) + i, left) : zero();
    const Vec param = update.apply(load_param(e, i, left), load_up_to(e.gradient + i, left), s);
    for (int k = 0; k < kStates; k++)
      if (e.state[k]) store_up_to(static_cast<float*>(e.state[k]) + i, s[k], left);
    store_param(p, e, i, param, left);
  }
}

NW_INLINE void encode_state(const OptimizerParams& p, bool is_signed, const float* x, float absmax, uint8_t* codes,
                            int64_t n) {
  const QuantizationMap& map = is_signed ? *p.signed_map : *p.unsigned_map;
  if (absmax == 0)
    std::memset(codes, map.zero, static_cast<size_t>(n));
  else if (is_signed)
    encode_block<true, true>(map, x, absmax, codes, n);
  else
    encode_block<false, false>(map, x, absmax, codes, n);
}

template <class Rule, int kStates>
void step_codes(const OptimizerParams& p, const OptimizerEntry& e, const Update<Rule>& update, int64_t begin,
                int64_t end) {
  alignas(64) float block[kStates][kQuantizationBlock] = {};
  for (int64_t first = begin; first < end; first += kQuantizationBlock) {
    const int64_t n = end - first < kQuantizationBlock ? end - first : kQuantizationBlock,
                  index = first / kQuantizationBlock;
    Vec largest[kStates];
    for (int k = 0; k < kStates; k++) {
      largest[k] = zero();
      const QuantizationMap& map = (p.signed_states >> k & 1) ? *p.signed_map : *p.unsigned_map;
      if (e.state[k]) decode_block(map, static_cast<uint8_t*>(e.state[k]) + first, e.absmax[k][index], block[k], n);
    }
    for (int64_t i = 0; i < n; i += kLanes) {
      const int64_t at = first + i, left = n - i;
      Vec s[kStates];
      for (int k = 0; k < kStates; k++) s[k] = load_up_to(block[k] + i, left);
      const Vec param = update.apply(load_param(e, at, left), load_up_to(e.gradient + at, left), s);
      store_param(p, e, at, param, left);
      for (int k = 0; k < kStates; k++) {
        store(block[k] + i, s[k]);
        largest[k] = max(largest[k], abs(s[k]));
      }
    }
    for (int k = 0; k < kStates; k++) {
      if (!e.state[k]) continue;
      e.absmax[k][index] = max_lanes(largest[k]);
      encode_state(p, (p.signed_states >> k & 1), block[k], e.absmax[k][index],
                   static_cast<uint8_t*>(e.state[k]) + first, n);
    }
  }
}

template <class Rule, int kStates>
void step_task(const OptimizerParams& p, int64_t task) {
  int64_t low = 0, high = p.entry_count - 1;
  while (low < high) {  // the last tensor whose tasks start at or before this one
    const int64_t middle = (low + high + 1) / 2;
    if (p.entries[middle].first_task <= task)
      low = middle;
    else
      high = middle - 1;
  }
  const OptimizerEntry& e = p.entries[low];
  const int64_t begin = (task - e.first_task) * kOptimizerTask,
                end = begin + kOptimizerTask < e.count ? begin + kOptimizerTask : e.count;
  const Update<Rule> update(e, p);
  if (e.absmax[0])
    step_codes<Rule, kStates>(p, e, update, begin, end);
  else
    step_float32<Rule, kStates>(p, e, update, begin, end);
}

// A thread takes up to this many tasks in a row, a megabyte of each array: prefetching starts anew with every gap.
constexpr int64_t kTasksInARow = 16;

template <class Rule, int kStates>
void step_all(const OptimizerParams& p) {
  // Few enough that each thread has several turns.
  const int64_t most = p.task_count / (4 * thread_count()), in_a_row = most < 1              ? 1
                                                                       : most < kTasksInARow ? most
                                                                                             : kTasksInARow;
  parallel_chunks(p.task_count, in_a_row, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; task++) step_task<Rule, kStates>(p, task);
  });
}

}  // namespace

void optimizer_step(const OptimizerParams& p) {
  if (p.clip && !(p.clip[0] < __builtin_inff())) return;
  constexpr void (*rules[])(const OptimizerParams&) = {
#define OPTIMIZER_RULE(Type, name, states, ...) &step_all<Type, states>,
#include "ops/optimizer_step/optimizer_rule_list.h"
#undef OPTIMIZER_RULE
  };
  rules[p.rule](p);
}

}  // namespace noisewright::NOISEWRIGHT_TARGET

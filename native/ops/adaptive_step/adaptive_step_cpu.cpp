// Memory bound: D-Adapt Adam moves 28 bytes for each parameter in the first pass and 16 in the second, Prodigy 36 and
// 16. A task is 64 blocks of 256 elements of one tensor. Sums are float32 within a block, double from there on, and the
// tasks' are added in order: they depend on sizes alone.
#include "ops/adaptive_step/adaptive_step.h"

#include "core/parallel.h"
#include "core/simd.h"
#include "core/stepped_param.h"
#include "ops/adaptive_step/adaptive_rules.h"

namespace noisewright::NOISEWRIGHT_TARGET {

namespace {

// The gradient as the rules see it.
struct Gradient {
  Vec scale, l2;
  bool coupled;
  Gradient(const AdaptiveStepParams& p, const AdaptiveEntry& e)
      : scale(broadcast(p.clip ? p.clip[1] : 1.0f)),
        l2(rounded(e.group.decay)),
        coupled(!p.settings.decoupled && e.group.decay != 0) {}
  NW_INLINE Vec operator()(Vec raw, Vec param) const {
    const Vec g = raw * scale;
    return coupled ? fma(l2, param, g) : g;
  }
};

template <int kStates>
NW_INLINE void load_states(const AdaptiveEntry& e, int which, Vec (&s)[kStates], int64_t i, int64_t left) {
  for (int k = 0; k < kStates; k++) s[k] = (which >> k & 1) && e.state[k] ? load_up_to(e.state[k] + i, left) : zero();
}

template <int kStates>
NW_INLINE void store_states(const AdaptiveEntry& e, int which, const Vec (&s)[kStates], int64_t i, int64_t left) {
  for (int k = 0; k < kStates; k++)
    if ((which >> k & 1) && e.state[k]) store_up_to(e.state[k] + i, s[k], left);
}

// body(entry, task, begin, end): one task's elements of one tensor.
template <class Body>
void for_tasks(const AdaptiveStepParams& p, Body&& body) {
  parallel_for(p.task_count, [&](int64_t task) {
    int64_t low = 0, high = p.entry_count - 1;
    while (low < high) {  // the last tensor whose tasks start at or before this one
      const int64_t middle = (low + high + 1) / 2;
      if (p.entries[middle].first_task <= task)
        low = middle;
      else
        high = middle - 1;
    }
    const AdaptiveEntry& e = p.entries[low];
    const int64_t begin = (task - e.first_task) * kAdaptiveTask;
    body(e, task, begin, begin + kAdaptiveTask < e.count ? begin + kAdaptiveTask : e.count);
  });
}

// Elements [begin, end) of e, at most a block.
template <class Rule>
NW_INLINE void accumulate_block(const AdaptiveStepParams& p, const Rule& rule, const Gradient& gradient,
                                const AdaptiveEntry& e, int64_t begin, int64_t end, Vec (&sums)[Rule::kSums]) {
  const bool param_read = Rule::kReadsParam || gradient.coupled;
  for (int64_t i = begin; i < end; i += kLanes) {
    const int64_t left = end - i;
    Vec s[Rule::kStates];
    load_states(e, Rule::kRead1, s, i, left);
    const Vec param = param_read ? load_param(e, i, left) : zero();
    const Vec next = rule.accumulate(param, gradient(load_up_to(e.gradient + i, left), param), s, sums);
    store_states(e, Rule::kWritten1, s, i, left);
    if (Rule::kStepsFirst) store_param(p, e, i, next, left);
  }
}

// The same where s and p0 have one element for every `slice` of the parameter, the first of them.
NW_INLINE void accumulate_slice(const Prodigy& rule, const Gradient& gradient, const AdaptiveEntry& e, int64_t slice,
                                int64_t begin, int64_t end, Vec (&sums)[Prodigy::kSums]) {
  for (int64_t i = begin; i < end; i += kLanes) {
    const int64_t left = end - i;
    Vec s[Prodigy::kStates];
    load_states(e, 3, s, i, left);
    const Vec param = gradient.coupled ? load_param(e, i, left) : zero();
    rule.average(gradient(load_up_to(e.gradient + i, left), param), s);
    store_states(e, 3, s, i, left);
  }
  const int64_t last = (end + slice - 1) / slice;
  for (int64_t j = (begin + slice - 1) / slice; j < last; j += kLanes) {
    const int64_t left = last - j;
    float params[kLanes] = {}, gradients[kLanes] = {};
    for (int64_t lane = 0; lane < kLanes && lane < left; lane++) {
      params[lane] = param_at(e, (j + lane) * slice);
      gradients[lane] = e.gradient[(j + lane) * slice];
    }
    Vec s[Prodigy::kStates];
    load_states(e, 12, s, j, left);
    rule.trace(load(params), gradient(load(gradients), load(params)), s, sums);
    store_states(e, 4, s, j, left);
  }
}

template <class Rule>
void first_pass(const AdaptiveStepParams& p, const AdaptiveNow& now, double* partial) {
  for_tasks(p, [&](const AdaptiveEntry& e, int64_t task, int64_t begin, int64_t end) {
    const Rule rule(p.settings, e.group, now);
    const Gradient gradient(p, e);
    double totals[Rule::kSums] = {};
    for (int64_t block = begin; block < end; block += kAdaptiveBlock) {
      const int64_t block_end = block + kAdaptiveBlock < end ? block + kAdaptiveBlock : end;
      Vec sums[Rule::kSums];
      for (Vec& sum : sums) sum = zero();
      if constexpr (Rule::kSliced) {
        if (p.slice > 1)
          accumulate_slice(rule, gradient, e, p.slice, block, block_end, sums);
        else
          accumulate_block(p, rule, gradient, e, block, block_end, sums);
      } else {
        accumulate_block(p, rule, gradient, e, block, block_end, sums);
      }
      for (int k = 0; k < Rule::kSums; k++) totals[k] += sum_lanes(sums[k]);
    }
    for (int k = 0; k < Rule::kSums; k++)
      partial[task * Rule::kSums + k] = (Rule::kUnweighted >> k & 1 ? 1 : e.group.factor) * totals[k];
  });
}

template <class Rule>
void second_pass(const AdaptiveStepParams& p, const AdaptiveNow& now) {
  for_tasks(p, [&](const AdaptiveEntry& e, int64_t, int64_t begin, int64_t end) {
    const Rule rule(p.settings, e.group, now);
    const Gradient gradient(p, e);
    const bool gradient_read = Rule::reads_gradient(p.settings);
    for (int64_t i = begin; i < end; i += kLanes) {
      const int64_t left = end - i;
      Vec s[Rule::kStates];
      load_states(e, Rule::kRead2, s, i, left);
      const Vec param = load_param(e, i, left);
      const Vec g = gradient_read ? gradient(load_up_to(e.gradient + i, left), param) : zero();
      store_param(p, e, i, rule.apply(param, g, s), left);
      store_states(e, Rule::kWritten2, s, i, left);
    }
  });
}

// Keeps the parameters of fresh entries as they are before their first step, even if that step turns out to be none.
template <class Rule>
void keep_origins(const AdaptiveStepParams& p) {
  if constexpr (Rule::kOrigin >= 0) {
    for (int64_t i = 0; i < p.entry_count; i++) {
      const AdaptiveEntry& e = p.entries[i];
      if (!e.fresh) continue;
      parallel_chunks((e.count + p.slice - 1) / p.slice, kAdaptiveTask, [&](int64_t begin, int64_t end) {
        for (int64_t j = begin; j < end; j++) e.state[Rule::kOrigin][j] = param_at(e, j * p.slice);
      });
    }
  }
}

double sum_in_order(const double* partial, int64_t count, int64_t stride) {
  double total = 0;
  for (int64_t i = 0; i < count; i++) total += partial[i * stride];
  return total;
}

// The norm of all gradients, groups weighted by their factors.
double gradient_norm_of(const AdaptiveStepParams& p, double* partial) {
  const Vec scale = broadcast(p.clip ? p.clip[1] : 1.0f);
  for_tasks(p, [&](const AdaptiveEntry& e, int64_t task, int64_t begin, int64_t end) {
    double total = 0;
    for (int64_t block = begin; block < end; block += kAdaptiveBlock) {
      const int64_t block_end = block + kAdaptiveBlock < end ? block + kAdaptiveBlock : end;
      Vec sum = zero();
      for (int64_t i = block; i < block_end; i += kLanes) {
        const Vec g = load_up_to(e.gradient + i, block_end - i) * scale;
        sum = fma(g, g, sum);
      }
      total += sum_lanes(sum);
    }
    partial[task] = e.group.factor * total;
  });
  return ::sqrt(sum_in_order(partial, p.task_count, 1));
}

template <class Rule, bool kFirstNorm>
void step_all(const AdaptiveStepParams& p) {
  keep_origins<Rule>(p);
  if (p.clip && !(p.clip[0] < __builtin_inff())) return;
  const Scratch<double> partial(p.task_count * Rule::kSums);
  AdaptiveScalars next = *p.scalars;
  if (kFirstNorm && next.k == 0) {
    next.first_norm = gradient_norm_of(p, partial.data);
    if (next.first_norm == 0) return;
  }
  const double rate = Rule::rate(p.settings, next);
  first_pass<Rule>(p, {rate, next.d}, partial.data);
  double sums[Rule::kSums];
  for (int k = 0; k < Rule::kSums; k++) sums[k] = sum_in_order(partial.data + k, p.task_count, Rule::kSums);
  if (!Rule::estimate(p.settings, rate, sums, next)) return;
  next.k += 1;
  *p.scalars = next;
  if (!Rule::kStepsFirst) second_pass<Rule>(p, {rate, next.d});
}

}  // namespace

void adaptive_step(const AdaptiveStepParams& p) {
  constexpr void (*rules[])(const AdaptiveStepParams&) = {
#define ADAPTIVE_RULE(Type, name, states, first_norm) &step_all<Type, first_norm>,
#include "ops/adaptive_step/adaptive_rule_list.h"
#undef ADAPTIVE_RULE
  };
  rules[p.rule](p);
}

}  // namespace noisewright::NOISEWRIGHT_TARGET

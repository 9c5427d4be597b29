// Memory bound, like the CPU kernel, whose passes these are. A thread block works through 4096 elements of one tensor,
// four neighbours to a thread at a time; a thread's sums of 16 elements are float32, double from there on, and single
// blocks join them between the passes. The rule's numbers, computed in double precision, come from one thread of a
// block.
#include "ops/adaptive_step/adaptive_step_cuda.h"

#include "cuda/reduce.cuh"
#include "cuda/scalar_vec.cuh"
#include "cuda/stepped_param.cuh"
#include "ops/adaptive_step/adaptive_rules.h"

namespace noisewright::cuda {

namespace {

// The gradient as the rules see it.
struct Gradient {
  float scale, l2;
  bool coupled;
  __device__ Gradient(const AdaptiveStepParams& p, const AdaptiveEntry& e)
      : scale(p.clip ? p.clip[1] : 1.0f),
        l2(static_cast<float>(e.group.decay)),
        coupled(!p.settings.decoupled && e.group.decay != 0) {}
  __device__ Vec operator()(float raw, float param) const {
    const float g = raw * scale;
    return {coupled ? fmaf(l2, param, g) : g};
  }
};

// The elements [begin, end) of a tensor, a thread block's.
struct Chunk {
  const AdaptiveEntry& e;
  int64_t begin, end;
  bool wide;  // four of them may be accessed at once
  // Where the kept elements of the chunk begin and end among those of a sliced state.
  __device__ int64_t first_kept(int64_t slice) const { return (begin + slice - 1) / slice; }
  __device__ int64_t last_kept(int64_t slice) const { return (end + slice - 1) / slice; }
};

__device__ inline Chunk this_chunk(const AdaptiveStepParams& p) {
  const AdaptiveEntry& e = gpu::entry_of(p, blockIdx.x);
  const int64_t begin = (blockIdx.x - e.first_task) * kAdaptiveTask + blockIdx.y * kAdaptiveChunk;
  uintptr_t addresses = reinterpret_cast<uintptr_t>(e.param) | reinterpret_cast<uintptr_t>(e.copy) |
                        reinterpret_cast<uintptr_t>(e.gradient);
  for (float* state : e.state) addresses |= reinterpret_cast<uintptr_t>(state);
  return {e, begin, begin + kAdaptiveChunk < e.count ? begin + kAdaptiveChunk : e.count, addresses % 16 == 0};
}

// A rule in shared memory, which constructs nothing.
template <class Rule>
struct alignas(16) Room {
  unsigned char bytes[sizeof(Rule)];
};

template <class Rule>
__device__ inline Rule rule_of(const AdaptiveStepParams& p, const AdaptiveEntry& e, const AdaptiveNow& now) {
  SHARED(Room<Rule>, room, [1]);
  auto* rule = reinterpret_cast<Rule*>(room[0].bytes);
  if (threadIdx.x == 0) *rule = Rule(p.settings, e.group, now);
  __syncthreads();
  return *rule;
}

template <int kStates>
__device__ inline void load_states(const Chunk& c, int which, gpu::Four (&s)[kStates], int64_t i, int64_t left) {
  for (int k = 0; k < kStates; k++)
    s[k] = (which >> k & 1) && c.e.state[k] ? gpu::load_four(c.e.state[k] + i, c.wide, left) : gpu::Four{};
}

template <int kStates>
__device__ inline void store_states(const Chunk& c, int which, const gpu::Four (&s)[kStates], int64_t i, int64_t left) {
  for (int k = 0; k < kStates; k++)
    if ((which >> k & 1) && c.e.state[k]) gpu::store_four(c.e.state[k] + i, s[k], c.wide, left);
}

// step(lane, states) for the lanes that exist.
template <int kStates, class Step>
__device__ inline void for_lanes(gpu::Four (&s)[kStates], int64_t left, Step&& step) {
  for (int lane = 0; lane < 4; lane++) {
    if (lane >= left) continue;
    Vec state[kStates];
    for (int k = 0; k < kStates; k++) state[k] = {s[k].v[lane]};
    step(lane, state);
    for (int k = 0; k < kStates; k++) s[k].v[lane] = state[k].v;
  }
}

// body(i, left) for this thread's elements of the chunk, four neighbours from i on.
template <class Body>
__device__ inline void for_fours(const Chunk& c, Body&& body) {
  for (int64_t i = c.begin + threadIdx.x * 4; i < c.end; i += kAdaptiveThreads * 4) body(i, c.end - i);
}

template <class Rule>
__device__ inline void accumulate_chunk(const AdaptiveStepParams& p, const Rule& rule, const Gradient& gradient,
                                        const Chunk& c, Vec (&sums)[Rule::kSums]) {
  const bool param_read = Rule::kReadsParam || gradient.coupled;
  for_fours(c, [&](int64_t i, int64_t left) {
    gpu::Four s[Rule::kStates], param{};
    load_states(c, Rule::kRead1, s, i, left);
    const gpu::Four raw = gpu::load_four(c.e.gradient + i, c.wide, left);
    if (param_read) param = gpu::load_params(c.e, i, c.wide, left);
    for_lanes(s, left, [&](int lane, Vec* state) {
      const float before = param.v[lane];
      param.v[lane] = rule.accumulate(Vec{before}, gradient(raw.v[lane], before), state, sums).v;
    });
    store_states(c, Rule::kWritten1, s, i, left);
    if (Rule::kStepsFirst) gpu::store_params(p, c.e, i, param, c.wide, left);
  });
}

// The same where s and p0 have one element for every `slice` of the parameter, the first of them.
__device__ inline void accumulate_slice(const Prodigy& rule, const Gradient& gradient, const Chunk& c, int64_t slice,
                                        Vec (&sums)[Prodigy::kSums]) {
  for_fours(c, [&](int64_t i, int64_t left) {
    gpu::Four s[Prodigy::kStates], param{};
    load_states(c, 3, s, i, left);
    if (gradient.coupled) param = gpu::load_params(c.e, i, c.wide, left);
    const gpu::Four raw = gpu::load_four(c.e.gradient + i, c.wide, left);
    for_lanes(s, left, [&](int lane, Vec* state) { rule.average(gradient(raw.v[lane], param.v[lane]), state); });
    store_states(c, 3, s, i, left);
  });
  float *distance = c.e.state[2], *origin = c.e.state[3];
  for (int64_t j = c.first_kept(slice) + threadIdx.x; j < c.last_kept(slice); j += kAdaptiveThreads) {
    const float param = gpu::load_param(c.e, j * slice);
    Vec state[Prodigy::kStates] = {{0.0f}, {0.0f}, {distance[j]}, {origin[j]}};
    rule.trace(Vec{param}, gradient(c.e.gradient[j * slice], param), state, sums);
    distance[j] = state[2].v;
  }
}

__device__ inline int64_t chunk_number() { return int64_t{blockIdx.x} * kAdaptiveSlices + blockIdx.y; }

// Keeps the parameters of fresh entries as they are before their first step, even if that step turns out to be none,
// and adds up the squares of the first gradients.
template <class Rule, bool kFirstNorm>
__device__ inline void prepare(const AdaptiveStepParams& p, const AdaptiveRun& run) {
  const Chunk c = this_chunk(p);
  if constexpr (Rule::kOrigin >= 0)
    if (c.e.fresh)
      for (int64_t j = c.first_kept(p.slice) + threadIdx.x; j < c.last_kept(p.slice); j += kAdaptiveThreads)
        c.e.state[Rule::kOrigin][j] = gpu::load_param(c.e, j * p.slice);
  if constexpr (kFirstNorm) {
    SHARED(double, part, [gpu::kWarpSize]);
    if (p.scalars->k != 0) return;
    const float scale = p.clip ? p.clip[1] : 1.0f;
    float sum = 0.0f;
    for_fours(c, [&](int64_t i, int64_t left) {
      const gpu::Four raw = gpu::load_four(c.e.gradient + i, c.wide, left);
      for (float x : raw.v) sum = fmaf(x * scale, x * scale, sum);
    });
    const double total = gpu::reduce_block<gpu::Sum>(static_cast<double>(sum), part);
    if (threadIdx.x == 0) run.partial[chunk_number()] = c.e.group.factor * total;
  }
}

// The sum of every stride-th number; every thread of the block receives it.
__device__ inline double sum_partial(const double* partial, int64_t count, int64_t stride) {
  SHARED(double, part, [gpu::kWarpSize]);
  double sum = 0.0;
  for (int64_t i = threadIdx.x; i < count; i += kAdaptiveJoinThreads) sum += partial[i * stride];
  return gpu::reduce_block<gpu::Sum>(sum, part);
}

template <class Rule, bool kFirstNorm>
__device__ inline void start(const AdaptiveStepParams& p, const AdaptiveRun& run) {
  AdaptiveScalars next = *p.scalars;
  bool going = !p.clip || p.clip[0] < gpu::infinity();
  if (kFirstNorm && next.k == 0) {
    next.first_norm = ::sqrt(sum_partial(run.partial, p.task_count * kAdaptiveSlices, 1));
    going = going && next.first_norm != 0;
  }
  if (threadIdx.x == 0) *run.progress = {next, Rule::rate(p.settings, next), going};
}

template <class Rule>
__device__ inline void first_pass(const AdaptiveStepParams& p, const AdaptiveRun& run) {
  SHARED(double, part, [gpu::kWarpSize]);
  if (!run.progress->going) return;
  const Chunk c = this_chunk(p);
  const auto rule = rule_of<Rule>(p, c.e, {run.progress->rate, run.progress->next.d});
  const Gradient gradient(p, c.e);
  Vec sums[Rule::kSums];
  for (Vec& sum : sums) sum = zero();
  if constexpr (Rule::kSliced) {
    if (p.slice > 1)
      accumulate_slice(rule, gradient, c, p.slice, sums);
    else
      accumulate_chunk(p, rule, gradient, c, sums);
  } else {
    accumulate_chunk(p, rule, gradient, c, sums);
  }
  for (int k = 0; k < Rule::kSums; k++) {
    const double total = gpu::reduce_block<gpu::Sum>(static_cast<double>(sums[k].v), part);
    if (threadIdx.x == 0)
      run.partial[chunk_number() * Rule::kSums + k] = (Rule::kUnweighted >> k & 1 ? 1 : c.e.group.factor) * total;
  }
}

template <class Rule>
__device__ inline void estimate(const AdaptiveStepParams& p, const AdaptiveRun& run) {
  AdaptiveProgress& progress = *run.progress;
  if (!progress.going) return;
  double sums[Rule::kSums];
  for (int k = 0; k < Rule::kSums; k++)
    sums[k] = sum_partial(run.partial + k, p.task_count * kAdaptiveSlices, Rule::kSums);
  if (threadIdx.x != 0) return;
  progress.going = Rule::estimate(p.settings, progress.rate, sums, progress.next);
  if (!progress.going) return;
  progress.next.k += 1;
  *p.scalars = progress.next;
}

template <class Rule>
__device__ inline void second_pass(const AdaptiveStepParams& p, const AdaptiveRun& run) {
  if (Rule::kStepsFirst || !run.progress->going) return;
  const Chunk c = this_chunk(p);
  const auto rule = rule_of<Rule>(p, c.e, {run.progress->rate, run.progress->next.d});
  const Gradient gradient(p, c.e);
  const bool gradient_read = Rule::reads_gradient(p.settings);
  for_fours(c, [&](int64_t i, int64_t left) {
    gpu::Four s[Rule::kStates], raw{};
    load_states(c, Rule::kRead2, s, i, left);
    gpu::Four param = gpu::load_params(c.e, i, c.wide, left);
    if (gradient_read) raw = gpu::load_four(c.e.gradient + i, c.wide, left);
    for_lanes(s, left, [&](int lane, Vec* state) {
      const float before = param.v[lane];
      const Vec g = gradient_read ? gradient(raw.v[lane], before) : zero();
      param.v[lane] = rule.apply(Vec{before}, g, state).v;
    });
    gpu::store_params(p, c.e, i, param, c.wide, left);
    store_states(c, Rule::kWritten2, s, i, left);
  });
}

}  // namespace

#define ADAPTIVE_KERNEL(pass, name, threads, body)                      \
  extern "C" __global__ void __launch_bounds__(threads, 2)              \
      adaptive_##pass##_##name(AdaptiveStepParams p, AdaptiveRun run) { \
    body(p, run);                                                       \
  }                                                                     \
  KERNEL(adaptive_##pass##_##name);
#define ADAPTIVE_RULE(Type, name, states, first_norm)                           \
  ADAPTIVE_KERNEL(prepare, name, kAdaptiveThreads, (prepare<Type, first_norm>)) \
  ADAPTIVE_KERNEL(start, name, kAdaptiveJoinThreads, (start<Type, first_norm>)) \
  ADAPTIVE_KERNEL(first, name, kAdaptiveThreads, first_pass<Type>)              \
  ADAPTIVE_KERNEL(estimate, name, kAdaptiveJoinThreads, estimate<Type>)         \
  ADAPTIVE_KERNEL(second, name, kAdaptiveThreads, second_pass<Type>)
#include "ops/adaptive_step/adaptive_rule_list.h"
#undef ADAPTIVE_RULE

}  // namespace noisewright::cuda

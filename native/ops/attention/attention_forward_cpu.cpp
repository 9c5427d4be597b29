// A task is a run of query groups of one head; it walks over the keys in blocks, keeps the running maximum and sum of
// every query and rescales its sums when the maximum rises. Keys and values are packed once for all tasks of a head.
#include "ops/attention/attention.h"

#include "core/parallel.h"
#include "core/simd.h"
#include "ops/attention/attention_tile.h"

namespace noisewright::NOISEWRIGHT_TARGET {

namespace {

constexpr int64_t kKeyBlock = 128;  // a multiple of kGroup: scores of a group and a block stay in the first-level cache
constexpr int64_t kMostGroups = 4;  // query groups of a task, which share each block of keys
constexpr int64_t kPackedBytes = int64_t{32} << 20;  // heads are packed together up to here

// The running state of one query group.
template <class Math>
struct QueryGroup {
  typename Math::Unit* q;  // panel
  float* sums;             // [size][kGroup]: sum over keys of P v
  float* maximum;          // [kGroup]
  float* total;            // [kGroup]: sum over keys of P
};

// Turns scores into P = 2^(c (score - maximum)), in the form the product with V takes, and adds the sums of P to total.
NW_INLINE void exponentiate(Float32Math, float* scores, int64_t keys, float c, const float* maximum, float* total) {
  const Vec scale = broadcast(c);
  for (int v = 0; v < 2; v++) {
    const Vec shift = zero() - load(maximum + v * kLanes) * scale;
    Vec sum = load(total + v * kLanes);
    for (int64_t key = 0; key < keys; key++) {
      float* at = scores + key * kGroup + v * kLanes;
      const Vec p = exp2_of_negative(fma(load(at), scale, shift));
      store(at, p);
      sum = sum + p;
    }
    store(total + v * kLanes, sum);
  }
}
#if defined(__AVX512BF16__)
NW_INLINE void exponentiate(PairMath, float* scores, int64_t keys, float c, const float* maximum, float* total) {
  const Vec scale = broadcast(c);
  for (int v = 0; v < 2; v++) {
    const Vec shift = zero() - load(maximum + v * kLanes) * scale;
    Vec sum = load(total + v * kLanes);
    for (int64_t key = 0; key < keys; key += 2) {
      // Pairs overwrite scores that have been read: row key / 2 stands before row key, except that both are row 0 at
      // first, where the half of each v is its own.
      const float* at = scores + key * kGroup + v * kLanes;
      const Vec even = exp2_of_negative(fma(load(at), scale, shift));
      const Vec odd = key + 1 < keys ? exp2_of_negative(fma(load(at + kGroup), scale, shift)) : zero();
      store_pairs(reinterpret_cast<Bfloat16Pair*>(scores + key / 2 * kGroup + v * kLanes), even, odd);
      sum = sum + even + odd;
    }
    store(total + v * kLanes, sum);
  }
}
#endif

template <class T>
void forward_typed(const AttentionForwardParams& p) {
  using Math = typename MathFor<T>::Type;
  using Unit = typename Math::Unit;
  const AttentionShape& s = p.shape;
  const int64_t size = s.size, pairs = s.batch * s.heads, width = round_up(size, kLanes);
  const int64_t panels = panels_length<Math>(s.keys, size), rows = rows_length<Math>(s.keys, size);
  const int64_t offset = s.keys - s.queries;
  const float c = s.scale * kLog2E;

  const int64_t fitting = kPackedBytes / ((panels + rows) * 4);
  const int64_t together = fitting < 1 ? 1 : fitting < pairs ? fitting : pairs;
  const int64_t groups = (s.queries + kGroup - 1) / kGroup;
  int64_t task_groups = size > 80 ? 2 : kMostGroups;
  while (task_groups > 1 && together * (groups / task_groups) < 32) task_groups /= 2;
  const int64_t tasks = (groups + task_groups - 1) / task_groups;

  const int64_t group_floats = panels_length<Math>(kGroup, size) + size * kGroup + 2 * kGroup;
  const int64_t thread_floats = task_groups * group_floats + kKeyBlock * kGroup + 2 * kGroup;
  Scratch<Unit> packed(together * (panels + rows));
  Scratch<float> work(thread_count() * thread_floats);

  for (int64_t first = 0; first < pairs; first += together) {
    const int64_t count = first + together < pairs ? together : pairs - first;
    const int64_t blocks = (s.keys + kKeyBlock - 1) / kKeyBlock;
    parallel_for(count * blocks, [&](int64_t task) {
      const int64_t pair = task / blocks, batch = (first + pair) / s.heads, head = (first + pair) % s.heads;
      const int64_t begin = task % blocks * kKeyBlock, end = begin + kKeyBlock < s.keys ? begin + kKeyBlock : s.keys;
      const T* k = static_cast<const T*>(p.k.data) + batch * p.k.batch_stride + head * size;
      const T* v = static_cast<const T*>(p.v.data) + batch * p.v.batch_stride + head * size;
      Unit* key_panels = packed.data + pair * (panels + rows);
      for (int64_t token = begin; token < end; token += kGroup) {
        const int64_t n = end - token < kGroup ? end - token : kGroup;
        pack_panel(k + token * p.k.token_stride, p.k.token_stride, n, size,
                   key_panels + panels_length<Math>(token, size));
        pack_rows(v + token * p.v.token_stride, p.v.token_stride, n, size,
                  key_panels + panels + rows_length<Math>(token, size));
      }
    });

    parallel_for(count * tasks, [&](int64_t task, int thread) {
      const int64_t pair = task / tasks, batch = (first + pair) / s.heads, head = (first + pair) % s.heads;
      const int64_t begin = task % tasks * task_groups * kGroup;
      const int64_t end = begin + task_groups * kGroup < s.queries ? begin + task_groups * kGroup : s.queries;
      const Unit* key_panels = packed.data + pair * (panels + rows);
      const Unit* value_rows = key_panels + panels;
      const T* q = static_cast<const T*>(p.q.data) + batch * p.q.batch_stride + head * size;
      T* o = static_cast<T*>(p.o.data) + batch * p.o.batch_stride + head * size;
      float* lse = p.lse + (first + pair) * s.queries;

      float* scores = work.data + thread * thread_floats;
      float* factor = scores + kKeyBlock * kGroup;
      QueryGroup<Math> state[kMostGroups];
      float* at = factor + 2 * kGroup;
      for (int64_t g = 0; begin + g * kGroup < end; g++) {
        state[g] = {reinterpret_cast<Unit*>(at), at + panels_length<Math>(kGroup, size), at + group_floats - 2 * kGroup,
                    at + group_floats - kGroup};
        at += group_floats;
        const int64_t query = begin + g * kGroup;
        pack_panel(q + query * p.q.token_stride, p.q.token_stride, end - query < kGroup ? end - query : kGroup, size,
                   state[g].q);
        for (int64_t lane = 0; lane < kGroup; lane++) state[g].maximum[lane] = kNoMaximum, state[g].total[lane] = 0;
        for (int64_t i = 0; i < size * kGroup; i++) state[g].sums[i] = 0;
      }

      for (int64_t key = 0; key < s.keys; key += kKeyBlock) {
        for (int64_t g = 0; begin + g * kGroup < end; g++) {
          const int64_t query = begin + g * kGroup;
          int64_t n = s.keys - key < kKeyBlock ? s.keys - key : kKeyBlock;
          bool masked = false;
          if (s.causal) {
            const int64_t visible =
                query + kGroup + offset - key;  // keys of this block that the last query of the group sees
            if (visible <= 0) continue;
            if (visible < n) n = visible;
            masked = key + n - 1 > query + offset;
          }
          float* maximum = state[g].maximum;
          for (int64_t lane = 0; lane < kGroup; lane++) factor[lane] = maximum[lane];
          score<Math>(key_panels, key, n, state[g].q, size, scores, masked ? nullptr : maximum);
          if (masked) {
            mask_scores(scores, key, n, query, offset);
            for (int64_t i = 0; i < n; i++)
              for (int64_t lane = 0; lane < kGroup; lane += kLanes)
                store(maximum + lane, max(load(maximum + lane), load(scores + i * kGroup + lane)));
          }
          for (int64_t lane = 0; lane < kGroup; lane += kLanes) {
            const Vec rescale = exp2_of_negative((load(factor + lane) - load(maximum + lane)) * broadcast(c));
            store(factor + lane, rescale);
            store(state[g].total + lane, load(state[g].total + lane) * rescale);
          }
          exponentiate(Math{}, scores, n, c, maximum, state[g].total);
          multiply<Math, 2, 0>(
              size, {value_rows + key / Math::kDepth * width, width, reinterpret_cast<const Unit*>(scores), kGroup,
                     state[g].sums, kGroup, (n + Math::kDepth - 1) / Math::kDepth, true, factor, nullptr});
        }
      }

      for (int64_t g = 0; begin + g * kGroup < end; g++) {
        const int64_t query = begin + g * kGroup, n = end - query < kGroup ? end - query : kGroup;
        for (int64_t lane = 0; lane < kGroup; lane++) {
          const float total = state[g].total[lane];
          const bool visible = total != 0;  // a NaN counts as visible and comes out as NaN
          factor[lane] = visible ? 1 / total : 0;
          if (lane < n) lse[query + lane] = visible ? state[g].maximum[lane] * s.scale + logf(total) : INFINITY;
        }
        unpack_panel(state[g].sums, factor, o + query * p.o.token_stride, p.o.token_stride, n, size);
      }
    });
  }
}

}  // namespace

void attention_forward(const AttentionForwardParams& p) {
  if (p.shape.dtype == DType::kBFloat16)
    forward_typed<bfloat16>(p);
  else
    forward_typed<float>(p);
}

}  // namespace noisewright::NOISEWRIGHT_TARGET

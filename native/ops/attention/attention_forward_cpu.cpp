// A task is a run of query groups of one head; it walks over the keys in blocks, keeps the running maximum and sum of
// every query and rescales its sums when the maximum rises. Keys and values are packed once for all tasks of a head.
#include "ops/attention/attention.h"

#include <type_traits>

#include "core/parallel.h"
#include "core/simd.h"
#include "ops/attention/attention_tile.h"

namespace noisewright::NOISEWRIGHT_TARGET {

namespace {

constexpr int64_t kKeyBlock = 128;  // a multiple of kGroup: scores of a group and a block stay in the first-level cache
constexpr int64_t kMostGroups = 4;  // query groups of a task, which share each block of keys
constexpr int64_t kTasks = 32;      // tasks become smaller until there are so many
constexpr int64_t kPackedBytes = int64_t{32} << 20;  // heads are packed together up to here

// The running state of one query group.
template <class Math>
struct QueryGroup {
  typename Math::Unit* q;  // panel
  float* sums;             // [size][kGroup]: sum over keys of P v
  float* maximum;          // [kGroup]
  float* total;            // [kGroup]: sum over keys of P
  bool started;            // sums hold something
};

// Turns scores into P = 2^(c (score - maximum)), in the form the product with V takes, and adds the sums of P to total.
NW_INLINE void exponentiate(Float32Math, float* scores, int64_t keys, float c, const float* maximum, float* total) {
  const Vec scale = broadcast(c);
  for (int v = 0; v < 2; v++) {
    const Vec shift = zero() - load(maximum + v * kLanes) * scale;
    Vec sum = load(total + v * kLanes);
    for (int64_t key = 0; key < keys; key++) {
      float* at = scores + key * kGroup + v * kLanes;
      const Vec p = exp2_of_negative<Float32Math>(fma(load(at), scale, shift));
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
      const Vec even = exp2_of_negative<PairMath>(fma(load(at), scale, shift));
      const Vec odd = key + 1 < keys ? exp2_of_negative<PairMath>(fma(load(at + kGroup), scale, shift)) : zero();
      store_pairs(reinterpret_cast<Bfloat16Pair*>(scores + key / 2 * kGroup + v * kLanes), even, odd);
      sum = sum + even + odd;
    }
    store(total + v * kLanes, sum);
  }
}
#endif

template <class T>
struct Forward {
  using Math = typename MathFor<T>::Type;
  using Unit = typename Math::Unit;
  const AttentionForwardParams& p;
  const int64_t size, keys;    // keys: rounded up to whole groups
  const int64_t panels, rows;  // units of the packed keys and values of a head
  const int64_t group_floats;  // state of a query group

  explicit Forward(const AttentionForwardParams& params)
      : p(params),
        size(p.shape.size),
        keys(round_up(p.shape.keys, kGroup)),
        panels(panels_length<Math>(keys, size)),
        rows(rows_length<Math>(keys, size)),
        group_floats(panels_length<Math>(kGroup, size) + size * kGroup + 2 * kGroup) {}

  T* head_of(const AttentionView& x, int64_t pair, int64_t token) const {
    const int64_t batch = pair / p.shape.heads, head = pair % p.shape.heads;
    return static_cast<T*>(x.data) + batch * x.batch_stride + head * size + token * x.token_stride;
  }

  void pack_keys(int64_t pair, Unit* packed, int64_t begin, int64_t end) const {
    for (int64_t token = begin; token < end; token += kGroup) {
      const int64_t n = end - token < kGroup ? end - token : kGroup;
      pack_panel(head_of(p.k, pair, token), p.k.token_stride, n, size, packed + panels_length<Math>(token, size));
      pack_rows(head_of(p.v, pair, token), p.v.token_stride, n, size, packed + panels, keys, token);
    }
  }

  // Lets a query group see the keys [key, key + kKeyBlock). scores: kKeyBlock * kGroup floats; factor: kGroup.
  void see(QueryGroup<Math>& group, const Unit* packed, int64_t query, int64_t key, float* scores,
           float* factor) const {
    const AttentionShape& s = p.shape;
    const int64_t offset = s.keys - s.queries;
    int64_t n = s.keys - key < kKeyBlock ? s.keys - key : kKeyBlock;
    bool masked = false;
    if (s.causal) {
      const int64_t visible =
          query + kGroup + offset - key;  // keys of this block that the last query of the group sees
      if (visible <= 0) return;
      if (visible < n) n = visible;
      masked = key + n - 1 > query + offset;
    }
    const float c = s.scale * kLog2E;
    float* maximum = group.maximum;
    for (int64_t lane = 0; lane < kGroup; lane += kLanes) store(factor + lane, load(maximum + lane));
    score<Math>(packed, key, n, group.q, size, scores, masked ? nullptr : maximum);
    if (masked) {
      mask_scores(scores, key, n, query, offset);
      for (int64_t i = 0; i < n; i++)
        for (int64_t lane = 0; lane < kGroup; lane += kLanes)
          store(maximum + lane, max(load(maximum + lane), load(scores + i * kGroup + lane)));
    }
    for (int64_t lane = 0; lane < kGroup; lane += kLanes) {
      const Vec rescale = exp2_of_negative<Math>((load(factor + lane) - load(maximum + lane)) * broadcast(c));
      store(factor + lane, rescale);
      store(group.total + lane, load(group.total + lane) * rescale);
    }
    exponentiate(Math{}, scores, n, c, maximum, group.total);
    add_weighted_tokens<Math>(packed + panels, keys, key, n, size, reinterpret_cast<const Unit*>(scores), group.sums,
                              group.started, factor);
    group.started = true;
  }

  void finish(const QueryGroup<Math>& group, int64_t pair, int64_t query, int64_t count, float* factor) const {
    float* lse = p.lse + pair * p.shape.queries + query;
    for (int64_t lane = 0; lane < kGroup; lane++) {
      const float total = group.total[lane];
      const bool seen = total != 0;  // a NaN counts as seen and comes out as NaN
      factor[lane] = seen ? 1 / total : 0;
      if (lane < count) lse[lane] = seen ? group.maximum[lane] * p.shape.scale + logf(total) : INFINITY;
    }
    if (!group.started) std::memset(group.sums, 0, sizeof(float) * static_cast<size_t>(size * kGroup));
    unpack_panel(group.sums, factor, head_of(p.o, pair, query), p.o.token_stride, count, size);
  }

  void attend(int64_t pair, const Unit* packed, int64_t begin, int64_t end, float* work) const {
    float *scores = work, *factor = scores + kKeyBlock * kGroup, *at = factor + kGroup;
    QueryGroup<Math> groups[kMostGroups];
    for (int64_t query = begin, g = 0; query < end; query += kGroup, g++) {
      float* sums = at + panels_length<Math>(kGroup, size);
      groups[g] = {reinterpret_cast<Unit*>(at), sums, sums + size * kGroup, sums + size * kGroup + kGroup, false};
      at += group_floats;
      pack_panel(head_of(p.q, pair, query), p.q.token_stride, end - query < kGroup ? end - query : kGroup, size,
                 groups[g].q);
      for (int64_t lane = 0; lane < kGroup; lane++) groups[g].maximum[lane] = kNoMaximum, groups[g].total[lane] = 0;
    }
    if (end < p.shape.queries) {  // the next run, whoever takes it
      const int64_t n = p.shape.queries - end < end - begin ? p.shape.queries - end : end - begin;
      prefetch_tokens(head_of(p.q, pair, end), p.q.token_stride, n, size);
    }
    for (int64_t key = 0; key < p.shape.keys; key += kKeyBlock)
      for (int64_t query = begin, g = 0; query < end; query += kGroup, g++)
        see(groups[g], packed, query, key, scores, factor);
    for (int64_t query = begin, g = 0; query < end; query += kGroup, g++)
      finish(groups[g], pair, query, end - query < kGroup ? end - query : kGroup, factor);
  }

  void all() const {
    const AttentionShape& s = p.shape;
    const int64_t pairs = s.batch * s.heads, fitting = kPackedBytes / ((panels + rows) * 4);
    const int64_t together = fitting < 1 ? 1 : fitting < pairs ? fitting : pairs;
    int64_t task_groups = kMostGroups;
    while (task_groups > 1 && together * ((s.queries + task_groups * kGroup - 1) / (task_groups * kGroup)) < kTasks)
      task_groups /= 2;
    const int64_t run = task_groups * kGroup, runs = (s.queries + run - 1) / run;
    const int64_t thread_floats = task_groups * group_floats + kKeyBlock * kGroup + kGroup;
    Scratch<Unit> packed(together * (panels + rows));
    Scratch<float> work(thread_count() * thread_floats);
    for (int64_t first = 0; first < pairs; first += together) {
      const int64_t count = first + together < pairs ? together : pairs - first;
      const int64_t blocks = (s.keys + kKeyBlock - 1) / kKeyBlock;
      parallel_for(count * blocks, [&](int64_t task) {
        const int64_t pair = task / blocks, begin = task % blocks * kKeyBlock;
        pack_keys(first + pair, packed.data + pair * (panels + rows), begin,
                  begin + kKeyBlock < s.keys ? begin + kKeyBlock : s.keys);
      });
      parallel_for(count * runs, [&](int64_t task, int thread) {
        const int64_t pair = task / runs, begin = task % runs * run;
        attend(first + pair, packed.data + pair * (panels + rows), begin,
               begin + run < s.queries ? begin + run : s.queries, work.data + thread * thread_floats);
      });
    }
  }
};

}  // namespace

void attention_forward(const AttentionForwardParams& p) {
  with_float_type(p.shape.dtype, [&](auto* t) { Forward<std::remove_pointer_t<decltype(t)>>(p).all(); });
}

}  // namespace noisewright::NOISEWRIGHT_TARGET

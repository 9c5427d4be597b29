// With P = 2^(c score - log-sum-exp) recomputed tile by tile and D = rowsum(dy * o):
//   dV = P^T dy,  dS = P * (dy V^T - D),  dQ = scale dS K,  dK = scale dS^T Q
// are five products. A task owns a run of keys and a run of queries of one head and adds into sums of its own: dQ for
// its keys, dK and dV for its queries. A second pass adds these partial sums in order. The runs depend on the shape
// alone, so nothing depends on the number of threads, and no product is made twice.
#include "ops/attention/attention.h"

#include <type_traits>

#include "core/parallel.h"
#include "core/simd.h"
#include "ops/attention/attention_tile.h"

namespace noisewright::NOISEWRIGHT_TARGET {

namespace {

constexpr int64_t kKeyBlock = 64;     // a multiple of kGroup: two blocks of scores stay in the first-level cache
constexpr int64_t kTokenBlock = 128;  // tokens packed or summed by a task
constexpr int64_t kTasks = 64;        // queries are cut until there are so many tasks
constexpr int64_t kKeyRun = 512,
                  kMostKeyRuns = 8;  // what is packed of a run of keys fits the second-level cache, if it can
constexpr int64_t kShortestQueryRun = 256;
constexpr int64_t kWorkBytes = int64_t{96} << 20;  // heads are treated together up to here

// How the work is cut, and where the data of a head lies in its workspace, in units of four bytes. Zero length: not
// needed.
struct Plan {
  int64_t key_run, query_run, key_runs, query_runs;
  int64_t keys, queries;  // rounded up to whole groups
  int64_t width;
  int64_t key_panels, value_panels, key_rows;  // packed
  int64_t dq, dq_length;       // one panel of sums for each run of keys; none where a single run's go straight out
  int64_t dk, dv, dkv_length;  // rows of sums for each run of queries
  int64_t total;
};

template <class Math>
Plan make_plan(const AttentionShape& s, bool dq, bool dk, bool dv) {
  Plan plan{};
  const int64_t key_runs = s.keys > kKeyRun * kMostKeyRuns ? kMostKeyRuns : (s.keys + kKeyRun - 1) / kKeyRun;
  plan.key_run = round_up((s.keys + key_runs - 1) / key_runs, kKeyBlock);
  plan.key_runs = (s.keys + plan.key_run - 1) / plan.key_run;
  int64_t query_runs = 1;
  while (s.batch * s.heads * plan.key_runs * query_runs < kTasks && s.queries / query_runs >= 2 * kShortestQueryRun)
    query_runs *= 2;
  plan.query_run = round_up((s.queries + query_runs - 1) / query_runs, kGroup);
  plan.query_runs = (s.queries + plan.query_run - 1) / plan.query_run;
  plan.keys = round_up(s.keys, kGroup);
  plan.queries = round_up(s.queries, kGroup);
  plan.width = round_up(s.size, kLanes);
  plan.dq_length = plan.queries * s.size;
  plan.dkv_length = plan.keys * plan.width;
  const auto reserve = [&](int64_t length) {
    const int64_t start = plan.total;
    plan.total += length;
    return start;
  };
  const int64_t panels = panels_length<Math>(plan.keys, s.size);
  plan.key_panels = reserve(panels);
  plan.value_panels = reserve(dq || dk ? panels : 0);
  plan.key_rows = reserve(dq ? rows_length<Math>(plan.keys, s.size) : 0);
  plan.dq = reserve(dq && plan.key_runs > 1 ? plan.key_runs * plan.dq_length : 0);
  plan.dk = reserve(dk ? plan.query_runs * plan.dkv_length : 0);
  plan.dv = reserve(dv ? plan.query_runs * plan.dkv_length : 0);
  plan.total = round_up(plan.total, 16);
  return plan;
}

// A group of queries as a task packs it for itself.
template <class Math>
struct QueryGroup {
  typename Math::Unit *q_panel, *dy_panel, *q_rows, *dy_rows;
  float* lse;       // [kGroup], base 2; infinite for absent queries, whose P is then 0
  float* row_sums;  // [kGroup]: D
  float* dq;        // [size][kGroup], where sums are not kept in the workspace
};

// P and dS of a block of keys and a group of queries, in the forms the products take.
template <class Math>
struct Weights {
  const typename Math::Unit* p;          // [key][query], depths along queries
  const typename Math::Unit* ds;         // [key][query], depths along queries
  const typename Math::Unit* ds_by_key;  // [key][query], depths along keys
};

// scores and products (dy V^T, or null when dS is not needed) are overwritten.
NW_INLINE Weights<Float32Math> weigh(Float32Math, float* scores, float* products, float*, int64_t keys, float c,
                                     const float* lse, const float* row_sums) {
  const Vec scale = broadcast(c);
  for (int v = 0; v < 2; v++) {
    const Vec shift = zero() - load(lse + v * kLanes), sums = load(row_sums + v * kLanes);
    for (int64_t i = v * kLanes; i < keys * kGroup; i += kGroup) {
      const Vec p = exp2_of_negative<Float32Math>(fma(load(scores + i), scale, shift));
      store(scores + i, p);
      if (products) store(products + i, p * (load(products + i) - sums));
    }
  }
  return {scores, products, products};
}
#if defined(__AVX512BF16__)
NW_INLINE Weights<PairMath> weigh(PairMath, float* scores, float* products, float* spare, int64_t keys, float c,
                                  const float* lse, const float* row_sums) {
  const Vec scale = broadcast(c);
  auto* p_rows = reinterpret_cast<Bfloat16Pair*>(scores);
  auto* ds_rows = reinterpret_cast<Bfloat16Pair*>(spare);
  auto* ds_pairs = reinterpret_cast<Bfloat16Pair*>(products);
  for (int64_t key = 0; key < keys; key += 2) {  // what is written lies at or before what has been read
    Vec ds[2][2] = {{zero(), zero()}, {zero(), zero()}};
    for (int64_t odd = 0; odd < 2 && key + odd < keys; odd++) {
      const int64_t at = (key + odd) * kGroup;
      Vec p[2];
      for (int v = 0; v < 2; v++) {
        p[v] = exp2_of_negative<PairMath>(fma(load(scores + at + v * kLanes), scale, zero() - load(lse + v * kLanes)));
        if (products) ds[odd][v] = p[v] * (load(products + at + v * kLanes) - load(row_sums + v * kLanes));
      }
      _mm512_storeu_si512(p_rows + at / 2, round_pair(p[0], p[1]));
      if (products) _mm512_storeu_si512(ds_rows + at / 2, round_pair(ds[odd][0], ds[odd][1]));
    }
    if (products)
      for (int v = 0; v < 2; v++) store_pairs(ds_pairs + key / 2 * kGroup + v * kLanes, ds[0][v], ds[1][v]);
  }
  return {p_rows, ds_rows, ds_pairs};
}
#endif

// sums[key][channel] += over a group of queries: weights[key][query] * rows[query][channel].
template <class Math>
void add_weighted_queries(int64_t keys, const typename Math::Unit* weights, const typename Math::Unit* rows,
                          int64_t size, float* sums) {
  constexpr int kStride = kGroup / Math::kDepth;
  const int64_t padded = round_up(size, kLanes);
  for_slabs(size, [&](int64_t slab, int64_t width) {
    const auto* b = slab_row<Math>(rows, kGroup, 0, slab, width);
    for (int64_t i = 0; i < width;) {
      const int64_t left = (width - i) / kLanes;
      const Product<Math> p{weights, 0, b + i, width, sums + slab + i, padded, kStride, true, nullptr, nullptr};
      if (left == 1) {
        multiply<Math, 1, kStride>(keys, p);
        i += kLanes;
      } else if (left % 2 == 1) {
        multiply<Math, 3, kStride>(keys, p);
        i += 3 * kLanes;
      } else {
        multiply<Math, 2, kStride>(keys, p);
        i += 2 * kLanes;
      }
    }
  });
}

template <class T>
struct Backward {
  using Math = typename MathFor<T>::Type;
  using Unit = typename Math::Unit;
  const AttentionBackwardParams& p;
  const Plan plan;
  const bool dq, dk, dv;

  T* head_of(const AttentionView& x, int64_t pair, int64_t token) const {
    const int64_t batch = pair / p.shape.heads, head = pair % p.shape.heads;
    return static_cast<T*>(x.data) + batch * x.batch_stride + head * p.shape.size + token * x.token_stride;
  }

  void pack_keys(int64_t pair, float* base, int64_t begin, int64_t end) const {
    const int64_t size = p.shape.size;
    for (int64_t token = begin; token < end; token += kGroup) {
      const int64_t n = end - token < kGroup ? end - token : kGroup, panel = panels_length<Math>(token, size);
      const T *k = head_of(p.k, pair, token), *v = head_of(p.v, pair, token);
      pack_panel(k, p.k.token_stride, n, size, reinterpret_cast<Unit*>(base + plan.key_panels + panel));
      if (dq || dk) pack_panel(v, p.v.token_stride, n, size, reinterpret_cast<Unit*>(base + plan.value_panels + panel));
      if (dq) pack_rows(k, p.k.token_stride, n, size, reinterpret_cast<Unit*>(base + plan.key_rows), plan.keys, token);
    }
  }

  int64_t group_floats() const {
    return 2 * panels_length<Math>(kGroup, p.shape.size) + 2 * rows_length<Math>(kGroup, p.shape.size) + 2 * kGroup +
           p.shape.size * kGroup;
  }

  QueryGroup<Math> pack_group(int64_t pair, int64_t query, int64_t count, float* work) const {
    const int64_t size = p.shape.size;
    const int64_t panel = panels_length<Math>(kGroup, size), rows = rows_length<Math>(kGroup, size);
    Unit* units = reinterpret_cast<Unit*>(work);
    float* rest = work + 2 * panel + 2 * rows;
    const QueryGroup<Math> group{units, units + panel, units + 2 * panel, units + 2 * panel + rows,
                                 rest,  rest + kGroup, rest + 2 * kGroup};
    const T *q = head_of(p.q, pair, query), *dy = head_of(p.dy, pair, query), *o = head_of(p.o, pair, query);
    pack_panel(q, p.q.token_stride, count, size, group.q_panel);
    if (dq || dk) pack_panel(dy, p.dy.token_stride, count, size, group.dy_panel);
    if (dk) pack_rows(q, p.q.token_stride, count, size, group.q_rows, kGroup, 0);
    if (dv) pack_rows(dy, p.dy.token_stride, count, size, group.dy_rows, kGroup, 0);
    for (int64_t i = 0; i < kGroup; i++) {
      group.lse[i] = i < count ? p.lse[pair * p.shape.queries + query + i] * kLog2E : INFINITY;
      Vec sum = zero();
      for (int64_t channel = 0; i < count && channel < size; channel += kLanes)
        sum = fma(load_channels(dy + i * p.dy.token_stride + channel, size - channel),
                  load_channels(o + i * p.o.token_stride + channel, size - channel), sum);
      group.row_sums[i] = sum_lanes(sum);
    }
    return group;
  }

  void run(int64_t pair, float* base, int64_t key_part, int64_t query_part, float* work) const {
    const AttentionShape& s = p.shape;
    const int64_t size = s.size, offset = s.keys - s.queries;
    const int64_t first_key = key_part * plan.key_run, first_query = query_part * plan.query_run;
    const int64_t last_key = first_key + plan.key_run < s.keys ? first_key + plan.key_run : s.keys;
    const int64_t last_query = first_query + plan.query_run < s.queries ? first_query + plan.query_run : s.queries;
    float* dk_sums = base + plan.dk + query_part * plan.dkv_length;
    float* dv_sums = base + plan.dv + query_part * plan.dkv_length;
    const size_t row_bytes = sizeof(float) * (last_key - first_key) * plan.width;
    if (dk) std::memset(dk_sums + first_key * plan.width, 0, row_bytes);
    if (dv) std::memset(dv_sums + first_key * plan.width, 0, row_bytes);

    const auto units = [&](int64_t start) { return reinterpret_cast<const Unit*>(base + start); };
    float* scores = work;
    float* products = dq || dk ? scores + kKeyBlock * kGroup : nullptr;
    float* spare = scores + 2 * kKeyBlock * kGroup;
    float* group_work = scores + 3 * kKeyBlock * kGroup;
    for (int64_t query = first_query; query < last_query; query += kGroup) {
      const int64_t count = last_query - query < kGroup ? last_query - query : kGroup;
      const QueryGroup<Math> group = pack_group(pair, query, count, group_work);
      if (query + kGroup < last_query) {
        const int64_t next = query + kGroup, n = last_query - next < kGroup ? last_query - next : kGroup;
        prefetch_tokens(head_of(p.q, pair, next), p.q.token_stride, n, size);
        prefetch_tokens(head_of(p.dy, pair, next), p.dy.token_stride, n, size);
        prefetch_tokens(head_of(p.o, pair, next), p.o.token_stride, n, size);
      }
      float* dq_sums = plan.key_runs > 1 ? base + plan.dq + key_part * plan.dq_length + query * size : group.dq;
      if (dq) std::memset(dq_sums, 0, sizeof(float) * size * kGroup);
      for (int64_t key = first_key; key < last_key; key += kKeyBlock) {
        int64_t n = last_key - key < kKeyBlock ? last_key - key : kKeyBlock;
        bool masked = false;
        if (s.causal) {
          const int64_t visible = query + kGroup + offset - key;
          if (visible <= 0) break;
          if (visible < n) n = visible;
          masked = key + n - 1 > query + offset;
        }
        score<Math>(units(plan.key_panels), key, n, group.q_panel, size, scores, nullptr);
        if (masked) mask_scores(scores, key, n, query, offset);
        if (products) score<Math>(units(plan.value_panels), key, n, group.dy_panel, size, products, nullptr);
        const auto w = weigh(Math{}, scores, products, spare, n, s.scale * kLog2E, group.lse, group.row_sums);
        if (dv) add_weighted_queries<Math>(n, w.p, group.dy_rows, size, dv_sums + key * plan.width);
        if (dk) add_weighted_queries<Math>(n, w.ds, group.q_rows, size, dk_sums + key * plan.width);
        if (dq)
          add_weighted_tokens<Math>(units(plan.key_rows), plan.keys, key, n, size, w.ds_by_key, dq_sums, true, nullptr);
      }
      if (dq && plan.key_runs == 1) store_queries(pair, dq_sums, query, count);
    }
  }

  void store_queries(int64_t pair, const float* sums, int64_t query, int64_t count) const {
    float factor[kGroup];
    for (float& f : factor) f = p.shape.scale;
    unpack_panel(sums, factor, head_of(p.dq, pair, query), p.dq.token_stride, count, p.shape.size);
  }

  // The partial sums of queries [begin, end), added in order, become dQ.
  void finish_queries(int64_t pair, float* base, int64_t begin, int64_t end) const {
    for (int64_t query = begin; query < end; query += kGroup) {
      float* sums = base + plan.dq + query * p.shape.size;
      for (int64_t i = 0; i < p.shape.size * kGroup; i += kLanes) {
        Vec sum = load(sums + i);
        for (int64_t part = 1; part < plan.key_runs; part++) sum = sum + load(sums + part * plan.dq_length + i);
        store(sums + i, sum);
      }
      store_queries(pair, sums, query, end - query < kGroup ? end - query : kGroup);
    }
  }

  // The same for dK or dV and keys [begin, end).
  void finish_keys(const AttentionView& gradient, int64_t pair, const float* sums, float factor, int64_t begin,
                   int64_t end) const {
    for (int64_t key = begin; key < end; key++) {
      T* y = head_of(gradient, pair, key);
      for (int64_t channel = 0; channel < p.shape.size; channel += kLanes) {
        const float* at = sums + key * plan.width + channel;
        Vec sum = load(at);
        for (int64_t part = 1; part < plan.query_runs; part++) sum = sum + load(at + part * plan.dkv_length);
        store_channels(y + channel, sum * broadcast(factor), p.shape.size - channel);
      }
    }
  }

  void all() const {
    const AttentionShape& s = p.shape;
    const int64_t pairs = s.batch * s.heads, fitting = kWorkBytes / (plan.total * 4);
    const int64_t together = fitting < 1 ? 1 : fitting < pairs ? fitting : pairs;
    const int64_t thread_floats = 3 * kKeyBlock * kGroup + group_floats();
    Scratch<float> data(together * plan.total), work(thread_count() * thread_floats);
    for (int64_t first = 0; first < pairs; first += together) {
      const int64_t count = first + together < pairs ? together : pairs - first;
      // body(pair, workspace, begin, end) for every block of tokens of every head
      const auto for_blocks = [&](int64_t tokens, auto body) {
        const int64_t blocks = (tokens + kTokenBlock - 1) / kTokenBlock;
        parallel_for(count * blocks, [&](int64_t task) {
          const int64_t pair = task / blocks, begin = task % blocks * kTokenBlock;
          body(first + pair, data.data + pair * plan.total, begin,
               begin + kTokenBlock < tokens ? begin + kTokenBlock : tokens);
        });
      };
      for_blocks(s.keys,
                 [&](int64_t pair, float* base, int64_t begin, int64_t end) { pack_keys(pair, base, begin, end); });
      const int64_t parts = plan.key_runs * plan.query_runs;
      parallel_for(count * parts, [&](int64_t task, int thread) {
        const int64_t pair = task / parts, part = task % parts;
        run(first + pair, data.data + pair * plan.total, part / plan.query_runs, part % plan.query_runs,
            work.data + thread * thread_floats);
      });
      if (dk || dv)
        for_blocks(s.keys, [&](int64_t pair, float* base, int64_t begin, int64_t end) {
          if (dk) finish_keys(p.dk, pair, base + plan.dk, s.scale, begin, end);
          if (dv) finish_keys(p.dv, pair, base + plan.dv, 1, begin, end);
        });
      if (dq && plan.key_runs > 1)
        for_blocks(s.queries, [&](int64_t pair, float* base, int64_t begin, int64_t end) {
          finish_queries(pair, base, begin, end);
        });
    }
  }
};

template <class T>
void backward_typed(const AttentionBackwardParams& p) {
  const bool dq = p.dq.data, dk = p.dk.data, dv = p.dv.data;
  Backward<T>{p, make_plan<typename MathFor<T>::Type>(p.shape, dq, dk, dv), dq, dk, dv}.all();
}

}  // namespace

void attention_backward(const AttentionBackwardParams& p) {
  with_float_type(p.shape.dtype, [&](auto* t) { backward_typed<std::remove_pointer_t<decltype(t)>>(p); });
}

}  // namespace noisewright::NOISEWRIGHT_TARGET

// With P = 2^(c score - log-sum-exp) recomputed tile by tile and D = rowsum(dy * o):
//   dV = P^T dy,  dS = P * (dy V^T - D),  dQ = scale dS K,  dK = scale dS^T Q
// are five products. A task owns a run of keys and a run of queries of one head and adds into sums of its own: dQ for
// its keys, dK and dV for its queries. A second pass adds these partial sums in order. The runs depend on the shape
// alone, so nothing depends on the number of threads, and no product is made twice.
#include "ops/attention/attention.h"

#include "core/parallel.h"
#include "core/simd.h"
#include "ops/attention/attention_tile.h"

namespace noisewright::NOISEWRIGHT_TARGET {

namespace {

constexpr int64_t kKeyBlock = 64;     // a multiple of kGroup: two blocks of scores stay in the first-level cache
constexpr int64_t kTokenBlock = 128;  // tokens packed or summed by a task
constexpr int64_t kTasks = 64;        // runs are halved until there are so many tasks
constexpr int64_t kShortestRun = 256;
constexpr int64_t kWorkBytes = int64_t{96} << 20;  // heads are treated together up to here

// How the work is cut, and where the data of a head lies in its workspace, in units of four bytes. Zero length: not
// needed.
struct Plan {
  int64_t key_run, query_run, key_runs, query_runs;
  int64_t keys, queries;  // rounded up to whole groups
  int64_t width;
  int64_t key_panels, value_panels, key_rows, query_panels, dy_panels, query_rows, dy_rows, lse, row_sums;
  int64_t dq, dq_length, dk, dv, dkv_length;
  int64_t total;
};

template <class Math>
Plan make_plan(const AttentionShape& s, bool dq, bool dk, bool dv) {
  Plan plan{};
  int64_t key_runs = 1, query_runs = 1;
  while (s.batch * s.heads * key_runs * query_runs < kTasks) {
    const int64_t keys = s.keys / key_runs, queries = s.queries / query_runs;
    if (keys < 2 * kShortestRun && queries < 2 * kShortestRun) break;
    if (queries >= keys)
      query_runs *= 2;
    else
      key_runs *= 2;
  }
  plan.key_run = round_up((s.keys + key_runs - 1) / key_runs, kKeyBlock);
  plan.query_run = round_up((s.queries + query_runs - 1) / query_runs, kGroup);
  plan.key_runs = (s.keys + plan.key_run - 1) / plan.key_run;
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
  const int64_t key_panels = panels_length<Math>(s.keys, s.size), query_panels = panels_length<Math>(s.queries, s.size);
  plan.key_panels = reserve(key_panels);
  plan.value_panels = reserve(key_panels);
  plan.key_rows = reserve(dq ? rows_length<Math>(s.keys, s.size) : 0);
  plan.query_panels = reserve(query_panels);
  plan.dy_panels = reserve(query_panels);
  plan.query_rows = reserve(dk ? rows_length<Math>(s.queries, s.size) : 0);
  plan.dy_rows = reserve(dv ? rows_length<Math>(s.queries, s.size) : 0);
  plan.lse = reserve(plan.queries);
  plan.row_sums = reserve(plan.queries);
  plan.dq = reserve(dq ? plan.key_runs * plan.dq_length : 0);
  plan.dk = reserve(dk ? plan.query_runs * plan.dkv_length : 0);
  plan.dv = reserve(dv ? plan.query_runs * plan.dkv_length : 0);
  plan.total = round_up(plan.total, 16);
  return plan;
}

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
      const Vec p = exp2_of_negative(fma(load(scores + i), scale, shift));
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
        p[v] = exp2_of_negative(fma(load(scores + at + v * kLanes), scale, zero() - load(lse + v * kLanes)));
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
void add_weighted_rows(int64_t keys, const typename Math::Unit* weights, const typename Math::Unit* rows, int64_t width,
                       float* sums) {
  constexpr int kStride = kGroup / Math::kDepth;
  for (int64_t channel = 0; channel < width;) {
    const int64_t left = (width - channel) / kLanes;
    const Product<Math> p{weights, 0, rows + channel, width, sums + channel, width, kStride, true, nullptr, nullptr};
    if (left == 1) {
      multiply<Math, 1, kStride>(keys, p);
      channel += kLanes;
    } else if (left % 2 == 1) {
      multiply<Math, 3, kStride>(keys, p);
      channel += 3 * kLanes;
    } else {
      multiply<Math, 2, kStride>(keys, p);
      channel += 2 * kLanes;
    }
  }
}

template <class T>
struct Backward {
  using Math = typename MathFor<T>::Type;
  using Unit = typename Math::Unit;
  const AttentionBackwardParams& p;
  const Plan plan;
  const bool dq, dk, dv;

  static const T* head_of(const AttentionView& x, const AttentionShape& s, int64_t pair) {
    return static_cast<const T*>(x.data) + pair / s.heads * x.batch_stride + pair % s.heads * s.size;
  }
  static T* gradient_of(const AttentionView& x, const AttentionShape& s, int64_t pair) {
    return static_cast<T*>(x.data) + pair / s.heads * x.batch_stride + pair % s.heads * s.size;
  }

  void pack_keys(int64_t pair, float* base, int64_t begin, int64_t end) const {
    const int64_t size = p.shape.size;
    for (int64_t token = begin; token < end; token += kGroup) {
      const int64_t n = end - token < kGroup ? end - token : kGroup;
      const int64_t panel = panels_length<Math>(token, size), row = rows_length<Math>(token, size);
      const T* k = head_of(p.k, p.shape, pair) + token * p.k.token_stride;
      const T* v = head_of(p.v, p.shape, pair) + token * p.v.token_stride;
      pack_panel(k, p.k.token_stride, n, size, reinterpret_cast<Unit*>(base + plan.key_panels + panel));
      pack_panel(v, p.v.token_stride, n, size, reinterpret_cast<Unit*>(base + plan.value_panels + panel));
      if (dq) pack_rows(k, p.k.token_stride, n, size, reinterpret_cast<Unit*>(base + plan.key_rows + row));
    }
  }

  void pack_queries(int64_t pair, float* base, int64_t begin, int64_t end) const {
    const int64_t size = p.shape.size;
    for (int64_t token = begin; token < end; token += kGroup) {
      const int64_t n = end - token < kGroup ? end - token : kGroup;
      const int64_t panel = panels_length<Math>(token, size), row = rows_length<Math>(token, size);
      const T* q = head_of(p.q, p.shape, pair) + token * p.q.token_stride;
      const T* dy = head_of(p.dy, p.shape, pair) + token * p.dy.token_stride;
      const T* o = head_of(p.o, p.shape, pair) + token * p.o.token_stride;
      pack_panel(q, p.q.token_stride, n, size, reinterpret_cast<Unit*>(base + plan.query_panels + panel));
      pack_panel(dy, p.dy.token_stride, n, size, reinterpret_cast<Unit*>(base + plan.dy_panels + panel));
      if (dk) pack_rows(q, p.q.token_stride, n, size, reinterpret_cast<Unit*>(base + plan.query_rows + row));
      if (dv) pack_rows(dy, p.dy.token_stride, n, size, reinterpret_cast<Unit*>(base + plan.dy_rows + row));
      for (int64_t i = 0; i < kGroup; i++) {
        Vec sum = zero();
        for (int64_t channel = 0; i < n && channel < size; channel += kLanes)
          sum = fma(load_up_to(dy + i * p.dy.token_stride + channel, size - channel),
                    load_up_to(o + i * p.o.token_stride + channel, size - channel), sum);
        base[plan.row_sums + token + i] = sum_lanes(sum);
        // Lanes of absent queries get P = 0.
        base[plan.lse + token + i] = i < n ? p.lse[pair * p.shape.queries + token + i] * kLog2E : INFINITY;
      }
    }
  }

  void run(float* base, int64_t key_part, int64_t query_part, float* work) const {
    const AttentionShape& s = p.shape;
    const int64_t size = s.size, offset = s.keys - s.queries;
    const int64_t first_key = key_part * plan.key_run, first_query = query_part * plan.query_run;
    const int64_t last_key = first_key + plan.key_run < s.keys ? first_key + plan.key_run : s.keys;
    const int64_t last_query = first_query + plan.query_run < s.queries ? first_query + plan.query_run : s.queries;
    const float c = s.scale * kLog2E;
    float* dq_sums = base + plan.dq + key_part * plan.dq_length;
    float* dk_sums = base + plan.dk + query_part * plan.dkv_length;
    float* dv_sums = base + plan.dv + query_part * plan.dkv_length;
    if (dq)
      std::memset(dq_sums + first_query * size, 0, sizeof(float) * (round_up(last_query, kGroup) - first_query) * size);
    const size_t row_bytes = sizeof(float) * (last_key - first_key) * plan.width;
    if (dk) std::memset(dk_sums + first_key * plan.width, 0, row_bytes);
    if (dv) std::memset(dv_sums + first_key * plan.width, 0, row_bytes);

    const auto units = [&](int64_t start) { return reinterpret_cast<const Unit*>(base + start); };
    float* scores = work;
    float* products = dq || dk ? scores + kKeyBlock * kGroup : nullptr;
    float* spare = scores + 2 * kKeyBlock * kGroup;
    for (int64_t key = first_key; key < last_key; key += kKeyBlock) {
      for (int64_t query = first_query; query < last_query; query += kGroup) {
        int64_t n = last_key - key < kKeyBlock ? last_key - key : kKeyBlock;
        bool masked = false;
        if (s.causal) {
          const int64_t visible = query + kGroup + offset - key;
          if (visible <= 0) continue;
          if (visible < n) n = visible;
          masked = key + n - 1 > query + offset;
        }
        const int64_t panel = panels_length<Math>(query, size), row = rows_length<Math>(query, size);
        score<Math>(units(plan.key_panels), key, n, units(plan.query_panels + panel), size, scores, nullptr);
        if (masked) mask_scores(scores, key, n, query, offset);
        if (products)
          score<Math>(units(plan.value_panels), key, n, units(plan.dy_panels + panel), size, products, nullptr);
        const Weights<Math> w =
            weigh(Math{}, scores, products, spare, n, c, base + plan.lse + query, base + plan.row_sums + query);
        if (dv) add_weighted_rows<Math>(n, w.p, units(plan.dy_rows + row), plan.width, dv_sums + key * plan.width);
        if (dk) add_weighted_rows<Math>(n, w.ds, units(plan.query_rows + row), plan.width, dk_sums + key * plan.width);
        if (dq)
          multiply<Math, 2, 0>(
              size, {units(plan.key_rows + key / Math::kDepth * plan.width), plan.width, w.ds_by_key, kGroup,
                     dq_sums + query * size, kGroup, (n + Math::kDepth - 1) / Math::kDepth, true, nullptr, nullptr});
      }
    }
  }

  // The partial sums of queries [begin, end), added in order, become dQ.
  void finish_queries(int64_t pair, float* base, int64_t begin, int64_t end) const {
    const int64_t size = p.shape.size;
    float factor[kGroup];
    for (float& f : factor) f = p.shape.scale;
    for (int64_t query = begin; query < end; query += kGroup) {
      float* sums = base + plan.dq + query * size;
      for (int64_t part = 1; part < plan.key_runs; part++)
        for (int64_t i = 0; i < size * kGroup; i += kLanes)
          store(sums + i, load(sums + i) + load(sums + part * plan.dq_length + i));
      unpack_panel(sums, factor, gradient_of(p.dq, p.shape, pair) + query * p.dq.token_stride, p.dq.token_stride,
                   end - query < kGroup ? end - query : kGroup, size);
    }
  }

  // The same for dK or dV and keys [begin, end).
  void finish_keys(const AttentionView& gradient, int64_t pair, const float* sums, float factor, int64_t begin,
                   int64_t end) const {
    T* y = gradient_of(gradient, p.shape, pair);
    for (int64_t key = begin; key < end; key++)
      for (int64_t channel = 0; channel < p.shape.size; channel += kLanes) {
        const float* at = sums + key * plan.width + channel;
        Vec sum = load(at);
        for (int64_t part = 1; part < plan.query_runs; part++) sum = sum + load(at + part * plan.dkv_length);
        store_up_to(y + key * gradient.token_stride + channel, sum * broadcast(factor), p.shape.size - channel);
      }
  }

  void all() const {
    const AttentionShape& s = p.shape;
    const int64_t pairs = s.batch * s.heads, fitting = kWorkBytes / (plan.total * 4);
    const int64_t together = fitting < 1 ? 1 : fitting < pairs ? fitting : pairs;
    constexpr int64_t kThreadFloats = 3 * kKeyBlock * kGroup;
    Scratch<float> data(together * plan.total), work(thread_count() * kThreadFloats);
    const int64_t key_blocks = (s.keys + kTokenBlock - 1) / kTokenBlock;
    const int64_t blocks = key_blocks + (s.queries + kTokenBlock - 1) / kTokenBlock;
    for (int64_t first = 0; first < pairs; first += together) {
      const int64_t count = first + together < pairs ? together : pairs - first;
      // Blocks of keys come first, then blocks of queries: body(pair, workspace, of keys?, begin, end).
      const auto for_blocks = [&](auto body) {
        parallel_for(count * blocks, [&](int64_t task) {
          const int64_t pair = task / blocks, block = task % blocks;
          const bool keys = block < key_blocks;
          const int64_t begin = (keys ? block : block - key_blocks) * kTokenBlock, tokens = keys ? s.keys : s.queries;
          body(first + pair, data.data + pair * plan.total, keys, begin,
               begin + kTokenBlock < tokens ? begin + kTokenBlock : tokens);
        });
      };
      for_blocks([&](int64_t pair, float* base, bool keys, int64_t begin, int64_t end) {
        if (keys)
          pack_keys(pair, base, begin, end);
        else
          pack_queries(pair, base, begin, end);
      });
      const int64_t parts = plan.key_runs * plan.query_runs;
      parallel_for(count * parts, [&](int64_t task, int thread) {
        const int64_t part = task % parts;
        run(data.data + task / parts * plan.total, part / plan.query_runs, part % plan.query_runs,
            work.data + thread * kThreadFloats);
      });
      for_blocks([&](int64_t pair, float* base, bool keys, int64_t begin, int64_t end) {
        if (!keys && dq) finish_queries(pair, base, begin, end);
        if (keys && dk) finish_keys(p.dk, pair, base + plan.dk, s.scale, begin, end);
        if (keys && dv) finish_keys(p.dv, pair, base + plan.dv, 1, begin, end);
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
  if (p.shape.dtype == DType::kBFloat16)
    backward_typed<bfloat16>(p);
  else
    backward_typed<float>(p);
}

}  // namespace noisewright::NOISEWRIGHT_TARGET

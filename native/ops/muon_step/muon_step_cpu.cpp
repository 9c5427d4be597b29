// Compute bound: an iteration for an n x m matrix, n <= m, takes 4 n^2 m + 2 n^3 operations, all in matrix products on
// the shorter side. Matrices of one shape are copied side by side and multiplied as a batch, so that the many small
// ones of a LoRA keep all threads busy.
#include "ops/muon_step/muon_step.h"

#include "core/parallel.h"
#include "core/rows.h"
#include "core/simd.h"
#include "core/stepped_param.h"
#include "ops/matmul/gemm.h"

namespace noisewright::NOISEWRIGHT_TARGET {

namespace {

template <class T>
constexpr DType kDTypeOf = DType::kFloat32;
template <>
constexpr DType kDTypeOf<bfloat16> = DType::kBFloat16;

// y = factor x + z, each of the two operations rounded to T, as the published code does it in bfloat16; z may be null.
template <class T>
void scale_and_add(float factor, const T* x, const T* z, T* y, int64_t count) {
  const Vec f = broadcast(factor);
  parallel_chunks(count, kMuonBlock, [&](int64_t begin, int64_t end) {
    for_vectors(end - begin, [&](int64_t i, auto n) {
      const int64_t at = begin + i;
      store_up_to(y + at, load_up_to(x + at, n) * f, n);
      if (z) store_up_to(y + at, load_up_to(y + at, n) + load_up_to(z + at, n), n);
    });
  });
}

// body(entry, block of the batch, where the block starts in its matrix and in the batch, elements) for all blocks.
template <class Body>
void for_blocks(const MuonStepEntry* entries, int64_t batch, Body&& body) {
  const int64_t count = entries[0].count(), blocks = (count + kMuonBlock - 1) / kMuonBlock;
  parallel_for(batch * blocks, [&](int64_t task) {
    const int64_t matrix = task / blocks, begin = task % blocks * kMuonBlock;
    const int64_t left = count - begin;
    body(entries[matrix], task, begin, matrix * count + begin, left < kMuonBlock ? left : kMuonBlock);
  });
}

// Products of a batch of matrices that lie side by side.
template <class T>
struct Products {
  int64_t batch;

  GemmFactor factor(const T* x, int64_t rows, int64_t columns, bool by_columns) const {
    return factor_of(x, kDTypeOf<T>, columns, by_columns, rows * columns);
  }
  // y = a b; y is [m, n]
  void multiply(GemmFactor a, GemmFactor b, T* y, int64_t m, int64_t n, int64_t k) const {
    Gemm g;
    g.batch = batch;
    g.m = m;
    g.n = n;
    g.segment[0] = {a, b, k};
    g.c = y;
    g.c_dtype = kDTypeOf<T>;
    g.rows.stride2 = n;
    g.c_batch_stride = m * n;
    gemm(g);
  }
};

template <class T>
void step_batch(const MuonStepParams& p, const MuonStepEntry* entries, int64_t batch, Vec scale) {
  const int64_t rows = entries[0].rows, columns = entries[0].columns, count = rows * columns, all = batch * count;
  const bool wide = rows <= columns;
  const int64_t side = wide ? rows : columns, length = wide ? columns : rows, square = batch * side * side;
  const int64_t blocks = (count + kMuonBlock - 1) / kMuonBlock;
  const Scratch<T> matrices(all), moved(all), gram(square), scaled_gram(square), polynomial(square);
  const Scratch<double> sums(batch * blocks);

  for_blocks(entries, batch, [&](const MuonStepEntry& e, int64_t block, int64_t begin, int64_t at, int64_t size) {
    const Vec keep = broadcast(e.k[kMuonKeep]), rest = broadcast(e.k[kMuonRest]);
    const bool nesterov = e.k[kMuonNesterov] != 0.0f;
    double total = 0;
    for (int64_t start = 0; start < size; start += 256) {
      Vec sum = zero();
      for_vectors(size - start < 256 ? size - start : 256, [&](int64_t i, auto n) {
        const int64_t place = begin + start + i;
        const Vec fresh = rest * (load_up_to(e.gradient + place, n) * scale);
        const Vec momentum = fma(keep, load_up_to(e.momentum + place, n), fresh);
        store_up_to(e.momentum + place, momentum, n);
        T* x = matrices.data + at + start + i;
        store_up_to(x, nesterov ? fma(keep, momentum, fresh) : momentum, n);
        const Vec stored = load_up_to(x, n);
        sum = fma(stored, stored, sum);
      });
      total += static_cast<double>(sum_lanes(sum));
    }
    sums[block] = total;
  });
  for_blocks(entries, batch, [&](const MuonStepEntry&, int64_t block, int64_t, int64_t at, int64_t size) {
    double total = 0;
    for (int64_t k = block / blocks * blocks; k < (block / blocks + 1) * blocks; k++) total += sums[k];
    const Vec norm = broadcast(to_float(from_float<T>(static_cast<float>(__builtin_sqrt(total) + 1e-7))));
    for_vectors(size, [&](int64_t i, auto n) {
      T* x = matrices.data + at + i;
      store_up_to(x, load_up_to(x, n) / norm, n);
    });
  });

  const Products<T> products{batch};
  T* x = matrices.data;
  for (int64_t k = 0; k < p.steps; k++) {
    const GemmFactor lines = products.factor(x, rows, columns, !wide);
    products.multiply(lines, lines, gram.data, side, side, length);
    scale_and_add<T>(kMuonC, gram.data, nullptr, scaled_gram.data, square);
    products.multiply(products.factor(scaled_gram.data, side, side, false),
                      products.factor(gram.data, side, side, true), polynomial.data, side, side, side);
    scale_and_add<T>(kMuonB, gram.data, polynomial.data, scaled_gram.data, square);
    const GemmFactor factor = products.factor(scaled_gram.data, side, side, !wide);
    if (wide)
      products.multiply(factor, products.factor(x, rows, columns, true), moved.data, rows, columns, side);
    else
      products.multiply(products.factor(x, rows, columns, false), factor, moved.data, rows, columns, side);
    scale_and_add<T>(kMuonA, x, moved.data, x, all);
  }

  for_blocks(entries, batch, [&](const MuonStepEntry& e, int64_t, int64_t begin, int64_t at, int64_t size) {
    const Vec decay = broadcast(e.k[kMuonDecay]), rate = broadcast(e.k[kMuonRate]);
    for_vectors(size, [&](int64_t i, auto n) {
      const Vec param = fnma(rate, load_up_to(x + at + i, n), load_param(e, begin + i, n) * decay);
      store_param(p, e, begin + i, param, n);
    });
  });
}

}  // namespace

void muon_step(const MuonStepParams& p) {
  if (p.clip && !(p.clip[0] < __builtin_inff())) return;
  const Vec scale = broadcast(p.clip ? p.clip[1] : 1.0f);
  for (int64_t first = 0; first < p.entry_count;) {
    const MuonStepEntry* entries = p.entries + first;
    int64_t batch = 1;
    while (first + batch < p.entry_count && entries[batch].same_shape(entries[0]) &&
           (batch + 1) * entries[0].count() <= kMuonBatch)
      batch++;
    (p.half ? step_batch<bfloat16> : step_batch<float>)(p, entries, batch, scale);
    first += batch;
  }
}

}  // namespace noisewright::NOISEWRIGHT_TARGET

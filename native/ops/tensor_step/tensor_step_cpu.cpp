// Memory bound. A tensor may be changed only once statistics of all of it are known, so one that no cache holds is read
// several times. What each pass moves for an element of a float32 parameter, in bytes together; s = 8/3 for the sums
// over rows and columns of a 3 x 3 kernel, next to nothing for those of a matrix:
//
//              in a cache            kernels, sheet by sheet     matrices
// AdaFactor    g p, p: 12 + 2s       g p; g p, p: 20 + 3s        g p; g; g p, p: 24
// CAME         g m p, m p: 20 + 4s   g; g m p, m p: 24 + 5s      g; g; g m, m; m p, p: 32
// StableAdamW  g m v p, m v p: 28    g m v, m v; m v p, p: 36    the same
//
// The means over rows and columns need every gradient of a sheet, the length of the update that is to be clipped all of
// those means, and its size is known only then; a kernel's sheet is small, so its gradients stay in a cache in between.
// Batches of tensors go through all passes before the next ones come. Sums are taken over fixed runs of elements and
// added in order, so that no result depends on the thread count.
#include "ops/tensor_step/tensor_step.h"

#include "ops/tensor_step/tensor_walk.h"

namespace noisewright::NOISEWRIGHT_TARGET {

namespace {

const Moments kNone{};

bool has_many_blocks(const Batch& batch) {
  for (int64_t i = batch.first; i < batch.last; i++)
    if (in_many_blocks(batch.entries[i])) return true;
  return false;
}

// Floats of scratch that a thread needs for any of the sheets that are one block.
int64_t most_of_one_block(const Batch& batch) {
  int64_t most = 0;
  for (int64_t i = batch.first; i < batch.last; i++) {
    const TensorStepEntry& e = batch.entries[i];
    const int64_t floats = padded_length(e.width()) + padded_length(e.inner);
    if (in_one_block(e) && floats > most) most = floats;
  }
  return most;
}

// What the tensors of a batch need beside their states, for `kinds` of means.
struct Workspace {
  Workspace(const Batch& batch, int kinds)
      : base(batch.entries[batch.first]),
        partials(has_many_blocks(batch) ? batch.entries[batch.last].first_partial - base.first_partial : 0),
        means(partials == 0 ? 0 : batch.entries[batch.last].first_mean - base.first_mean),
        own(most_of_one_block(batch)),
        threads(thread_count()),
        shared(kinds * (partials + means) + 1),
        owned(kinds * own * threads + 1),
        sums(2 * batch.blocks() + 1),
        results(2 * (batch.last - batch.first)) {}

  // The means kept in states `row` and `row` + 1, of a kind.
  Moments moments(const Block& b, int kind, int row, float keep, float rest) const {
    const TensorStepEntry& e = *b.e;
    if (e.outer == 0) return {};
    if (in_one_block(e)) {
      float* mine = owned.data + (kind * threads + b.thread) * own;
      return {e.state[row], e.state[row + 1], mine, mine, mine + padded_length(e.width()), keep, rest};
    }
    float* of_tensor = shared.data + kind * (partials + means) + (e.first_partial - base.first_partial);
    float* roots = shared.data + kind * (partials + means) + partials + (e.first_mean - base.first_mean);
    return {e.state[row],
            e.state[row + 1],
            of_tensor + b.index * e.width(),
            of_tensor + b.sheet * e.blocks_of_sheet() * e.width(),
            roots + b.sheet * e.inner,
            keep,
            rest};
  }

  const TensorStepEntry& base;
  int64_t partials, means;  // of tensors whose sheets are many blocks
  int64_t own;              // floats of a thread, for a sheet that is one block
  int64_t threads;
  Scratch<float> shared, owned;
  Scratch<double> sums;    // two for each block
  Scratch<float> results;  // two for each tensor
};

// Blocks may be as small as a sheet: a task takes so many that it is worth its start.
template <class Body>
void for_blocks(const Batch& batch, Body&& body) {
  const int64_t blocks = batch.blocks(), elements = batch.elements();
  const int64_t together = elements >= blocks * kTensorBlock ? 1 : kTensorBlock * blocks / (elements + 1) + 1;
  parallel_for((blocks + together - 1) / together, [&](int64_t task, int thread) {
    const int64_t end = (task + 1) * together < blocks ? (task + 1) * together : blocks;
    for (int64_t number = task * together; number < end; number++) body(batch.block(number, thread), number);
  });
}

// Once the blocks of all sheets have been gathered: the factors of the larger ones, then body(block, number) for their
// blocks.
template <class MomentsOf, class Body>
void for_many_blocks(const Batch& batch, MomentsOf&& moments_of, Body&& body) {
  if (!has_many_blocks(batch)) return;
  for_blocks(batch, [&](const Block& b, int64_t) {
    if (in_many_blocks(*b.e) && b.first_row == 0) finish_sheet(b, moments_of(b));
  });
  for_blocks(batch, [&](const Block& b, int64_t number) {
    if (in_many_blocks(*b.e)) body(b, number);
  });
}

// body(entry, number in the batch, root of the mean of the first sums, of the second)
template <class Body>
void for_tensors(const Batch& batch, const Workspace& w, Body&& body) {
  parallel_chunks(batch.last - batch.first, 16, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const TensorStepEntry &e = batch.entries[batch.first + i], &next = batch.entries[batch.first + i + 1];
      double first = 0, second = 0;
      for (int64_t k = e.first_block; k < next.first_block; k++) {
        first += w.sums[2 * (k - batch.first_block())];
        second += w.sums[2 * (k - batch.first_block()) + 1];
      }
      const double count = static_cast<double>(e.count);
      body(e, i, __builtin_sqrt(first / count), __builtin_sqrt(second / count));
    }
  });
}

double clip_divisor(double rms, float threshold) {
  const double excess = rms / static_cast<double>(threshold);
  return excess > 1 || excess != excess ? excess : 1;  // NaN stays NaN
}

int64_t number_of(const Batch& batch, const TensorStepEntry& e) { return &e - (batch.entries + batch.first); }

// each(at, n, u, sum) for the gradients of a block divided by their root mean squares; returns the sum of what it adds
// to `sum`.
template <class Each>
NW_INLINE double for_normalized(const Block& b, const Moments& m, Vec scale, Each&& each) {
  const TensorStepEntry& e = *b.e;
  const float* gradient = e.gradient;
  if (e.outer != 0)
    return walk<true, false>(b, m, kNone, [&](int64_t at, auto n, Vec factor, Vec& sum) {
      each(at, n, masked(load_up_to(gradient + at, n) * scale * factor, n), sum);
      return factor;
    });
  return sum_vectors(b.end - b.begin, [&](int64_t i, auto n, Vec& sum) {
    const int64_t at = b.begin + i;
    const Vec factor = inverse_root(load_up_to(e.state[0] + at, n));
    each(at, n, masked(load_up_to(gradient + at, n) * scale * factor, n), sum);
  });
}

// The first half of AdaFactor and CAME: means of the squared gradient; in w.sums the squares of the normalised gradient
// and, with kSizes, of the parameter.
template <bool kSizes, class MomentsOf>
void gather_squares(const Batch& batch, const Workspace& w, Vec scale, MomentsOf&& moments_of) {
  const auto sum_normalized = [&](const Block& b, int64_t number) {
    w.sums[2 * number] =
        for_normalized(b, moments_of(b), scale, [](int64_t, auto, Vec u, Vec& sum) { sum = fma(u, u, sum); });
  };
  for_blocks(batch, [&](const Block& b, int64_t number) {
    const TensorStepEntry& e = *b.e;
    const float* gradient = e.gradient;
    const Vec eps = broadcast(e.k[2]), beta = broadcast(e.k[0]), rest = broadcast(e.k[1]);
    const auto square = [&](int64_t at, auto n, Vec, Vec& size) {
      const Vec g = load_up_to(gradient + at, n) * scale;
      if (kSizes) {
        const Vec p = load_param(e, at, n);
        size = fma(p, p, size);
      }
      return fma(g, g, eps);
    };
    if (e.outer != 0) {
      w.sums[2 * number + 1] = walk<false, true>(b, kNone, moments_of(b), square);
    } else {
      w.sums[2 * number + 1] = sum_vectors(b.end - b.begin, [&](int64_t i, auto n, Vec& size) {
        float* v = e.state[0] + b.begin + i;
        store_up_to(v, fma(beta, load_up_to(v, n), rest * square(b.begin + i, n, zero(), size)), n);
      });
    }
    if (in_many_blocks(e)) return;
    if (in_one_block(e)) finish_sheet(b, moments_of(b));
    sum_normalized(b, number);
  });
  for_many_blocks(batch, moments_of, sum_normalized);
}

void ada_factor(const Batch& batch, Vec scale) {
  const Workspace w(batch, 1);
  const auto moments = [&](const Block& b) { return w.moments(b, 0, 0, b.e->k[0], b.e->k[1]); };
  gather_squares<true>(batch, w, scale, moments);
  for_tensors(batch, w, [&](const TensorStepEntry& e, int64_t i, double rms, double size) {
    const double least = static_cast<double>(e.k[3]);
    const double rate = static_cast<double>(e.k[4]) * (e.k[5] != 0.0f ? (size > least ? size : least) : 1);
    w.results[2 * i] = static_cast<float>(rate / clip_divisor(rms, e.k[6]));
    w.results[2 * i + 1] = static_cast<float>(rate * static_cast<double>(e.k[9]));
    if (e.rate) *e.rate = static_cast<float>(rate);
  });
  for_blocks(batch, [&](const Block& b, int64_t) {
    const TensorStepEntry& e = *b.e;
    const float* result = w.results.data + 2 * number_of(batch, e);
    const Vec rate = broadcast(result[0]), decay = broadcast(result[1]);
    const Vec beta = broadcast(e.k[7]), rest = broadcast(e.k[8]);
    float* moment = e.state[2];
    if (in_one_block(e)) make_factors(b, moments(b));
    for_normalized(b, moments(b), scale, [&](int64_t at, auto n, Vec u, Vec&) {
      Vec update = u * rate;
      if (moment) {
        update = fma(beta, load_up_to(moment + at, n), rest * update);
        store_up_to(moment + at, update, n);
      }
      const Vec param = load_param(e, at, n);
      store_param(batch.rounding, e, at, fnma(decay, param, param) - update, n);
    });
  });
}

void came(const Batch& batch, Vec scale) {
  const Workspace w(batch, 2);
  const auto squares = [&](const Block& b) { return w.moments(b, 0, 0, b.e->k[0], b.e->k[1]); };
  const auto errors = [&](const Block& b) { return w.moments(b, 1, 3, b.e->k[9], b.e->k[10]); };
  gather_squares<false>(batch, w, scale, squares);
  for_tensors(batch, w, [&](const TensorStepEntry& e, int64_t i, double rms, double) {
    w.results[2 * i] = static_cast<float>(1 / clip_divisor(rms, e.k[5]));
  });
  const auto step_moment = [&](const TensorStepEntry& e, int64_t at, auto n, Vec u) {
    float* moment = e.state[2] + at;
    const Vec m = fma(broadcast(e.k[6]), load_up_to(moment, n), broadcast(e.k[7]) * u);
    store_up_to(moment, m, n);
    return m;
  };
  const auto apply = [&](const TensorStepEntry& e, int64_t at, auto n, Vec update) {
    const Vec param = load_param(e, at, n);
    store_param(batch.rounding, e, at, fnma(broadcast(e.k[4]), update, fnma(broadcast(e.k[4] * e.k[8]), param, param)),
                n);
  };
  const auto correct = [&](const Block& b, int64_t) {
    const TensorStepEntry& e = *b.e;
    walk<true, false>(b, errors(b), kNone, [&](int64_t at, auto n, Vec factor, Vec&) {
      apply(e, at, n, load_up_to(e.state[2] + at, n) * factor);
      return factor;
    });
  };
  for_blocks(batch, [&](const Block& b, int64_t number) {
    const TensorStepEntry& e = *b.e;
    const Vec share = broadcast(w.results[2 * number_of(batch, e)]), eps = broadcast(e.k[3]);
    if (e.outer == 0) {
      for_normalized(b, kNone, scale,
                     [&](int64_t at, auto n, Vec u, Vec&) { apply(e, at, n, step_moment(e, at, n, u * share)); });
      return;
    }
    if (in_one_block(e)) make_factors(b, squares(b));
    walk<true, true>(b, squares(b), errors(b), [&](int64_t at, auto n, Vec factor, Vec&) {
      const Vec u = load_up_to(e.gradient + at, n) * scale * factor * share;
      const Vec error = u - step_moment(e, at, n, u);
      return fma(error, error, eps);
    });
    if (!in_one_block(e)) return;
    finish_sheet(b, errors(b));
    correct(b, number);
  });
  for_many_blocks(batch, errors, correct);
}

void stable_adam_w(const Batch& batch, Vec scale) {
  const Workspace w(batch, 0);
  for_blocks(batch, [&](const Block& b, int64_t number) {
    const TensorStepEntry& e = *b.e;
    const Vec beta1 = broadcast(e.k[0]), rest1 = broadcast(e.k[1]), beta2 = broadcast(e.k[2]),
              rest2 = broadcast(e.k[3]), least = broadcast(e.k[6]);
    w.sums[2 * number] = sum_vectors(b.end - b.begin, [&](int64_t i, auto n, Vec& sum) {
      const int64_t at = b.begin + i;
      const Vec g = load_up_to(e.gradient + at, n) * scale, square = g * g;
      const Vec m = fma(beta1, load_up_to(e.state[0] + at, n), rest1 * g);
      const Vec v = fma(beta2, load_up_to(e.state[1] + at, n), rest2 * square);
      store_up_to(e.state[0] + at, m, n);
      store_up_to(e.state[1] + at, v, n);
      sum = sum + masked(square / max(v, least), n);
    });
    w.sums[2 * number + 1] = 0;
  });
  for_tensors(batch, w, [&](const TensorStepEntry& e, int64_t i, double rms, double) {
    const double rate = static_cast<double>(e.k[4]) / clip_divisor(rms, 1.0f);
    w.results[2 * i] = static_cast<float>(rate);
    w.results[2 * i + 1] = static_cast<float>(1 - rate * static_cast<double>(e.k[7]));
    if (e.rate) *e.rate = static_cast<float>(rate);
  });
  for_blocks(batch, [&](const Block& b, int64_t) {
    const TensorStepEntry& e = *b.e;
    const float* result = w.results.data + 2 * number_of(batch, e);
    const Vec rate = broadcast(result[0]), decay = broadcast(result[1]), eps = broadcast(e.k[5]);
    for_vectors(b.end - b.begin, [&](int64_t i, auto n) {
      const int64_t at = b.begin + i;
      const Vec update = load_up_to(e.state[0] + at, n) / (sqrt(load_up_to(e.state[1] + at, n)) + eps);
      store_param(batch.rounding, e, at, fnma(rate, update, load_param(e, at, n) * decay), n);
    });
  });
}

}  // namespace

void tensor_step(const TensorStepParams& p) {
  if (p.clip && !(p.clip[0] < __builtin_inff())) return;
  const Vec scale = broadcast(p.clip ? p.clip[1] : 1.0f);
  constexpr void (*rules[])(const Batch&, Vec) = {&ada_factor, &came, &stable_adam_w};
  for (int64_t first = 0; first < p.entry_count;) {
    int64_t last = first, elements = 0;
    do elements += p.entries[last++].count;
    while (last < p.entry_count && elements + p.entries[last].count <= kTensorBatch);
    rules[static_cast<int>(p.rule)]({p.entries, first, last, p.rounding}, scale);
    first = last;
  }
}

}  // namespace noisewright::NOISEWRIGHT_TARGET

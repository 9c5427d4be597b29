// Memory bound: gradients are read two or three times, which batches keep in the caches where tensors are not very
// large. Sums are taken over fixed runs of elements and added in order, so that no result depends on the thread count.
#include "ops/tensor_step/tensor_step.h"

#include "ops/tensor_step/tensor_walk.h"

namespace noisewright::NOISEWRIGHT_TARGET {

namespace {

const Moments kNone{nullptr, nullptr, nullptr, nullptr, 0, 0};

// What the tensors of a batch need beside their states.
struct Workspace {
  Workspace(const Batch& batch, bool twice)
      : base(batch.entries[batch.first]),
        partials(batch.entries[batch.last].first_partial - base.first_partial),
        means(batch.entries[batch.last].first_mean - base.first_mean),
        floats((twice ? 2 : 1) * (partials + means) + 1),
        sums(2 * batch.blocks() + 1),
        results(2 * (batch.last - batch.first)) {}

  // The means kept in states `row` and `row` + 1.
  Moments moments(const TensorStepEntry& e, int row, bool second, float keep, float rest) const {
    float* mine = floats.data + (second ? partials + means : 0);
    return {e.state[row],
            e.state[row + 1],
            mine + (e.first_partial - base.first_partial),
            mine + partials + (e.first_mean - base.first_mean),
            keep,
            rest};
  }

  const TensorStepEntry& base;
  int64_t partials, means;
  Scratch<float> floats;
  Scratch<double> sums;    // two for each block
  Scratch<float> results;  // two for each tensor
};

template <class Body>
void for_blocks(const Batch& batch, Body&& body) {
  parallel_for(batch.blocks(), [&](int64_t task) { body(batch.block(task), task); });
}

// A sheet that is one block: its means are complete as soon as it has been gathered, and still in the cache.
bool in_one_block(const TensorStepEntry& e) { return e.outer != 0 && e.blocks_of_sheet() == 1; }
bool in_many_blocks(const TensorStepEntry& e) { return e.outer != 0 && e.blocks_of_sheet() > 1; }

bool has_many_blocks(const Batch& batch) {
  for (int64_t i = batch.first; i < batch.last; i++)
    if (in_many_blocks(batch.entries[i])) return true;
  return false;
}

// Once the blocks of all sheets have been gathered: the means of the larger ones, then body(block, task) for their
// blocks.
template <class MomentsOf, class Body>
void for_many_blocks(const Batch& batch, MomentsOf&& moments_of, Body&& body) {
  if (!has_many_blocks(batch)) return;
  for_blocks(batch, [&](const Block& b, int64_t) {
    if (in_many_blocks(*b.e) && b.first_row == 0) finish_sheet(*b.e, b.sheet, moments_of(*b.e));
  });
  for_blocks(batch, [&](const Block& b, int64_t task) {
    if (in_many_blocks(*b.e)) body(b, task);
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

// each(at, n, u) for the gradients of a block divided by their root mean squares.
template <class Each>
NW_INLINE void for_normalized(const Block& b, const Moments& m, Vec scale, Each&& each) {
  const TensorStepEntry& e = *b.e;
  if (e.outer != 0) {
    walk<true, false>(b, m, kNone, [&](int64_t at, auto n, Vec factor) {
      each(at, n, masked(load_up_to(e.gradient + at, n) * scale * factor, n));
      return factor;
    });
  } else {
    for_vectors(b.end - b.begin, [&](int64_t i, auto n) {
      const int64_t at = b.begin + i;
      const Vec factor = inverse_root(load_up_to(e.state[0] + at, n));
      each(at, n, masked(load_up_to(e.gradient + at, n) * scale * factor, n));
    });
  }
}

// The first half of AdaFactor and CAME: means of the squared gradient; in w.sums the squares of the normalised gradient
// and, with `sizes`, of the parameter.
template <class MomentsOf>
void gather_squares(const Batch& batch, const Workspace& w, Vec scale, bool sizes, MomentsOf&& moments_of) {
  const auto sum_normalized = [&](const Block& b, int64_t task) {
    Sum squares;
    for_normalized(b, moments_of(*b.e), scale, [&](int64_t, auto, Vec u) { squares.add_square(u); });
    w.sums[2 * task] = squares.value();
  };
  for_blocks(batch, [&](const Block& b, int64_t task) {
    const TensorStepEntry& e = *b.e;
    const Vec eps = broadcast(e.k[2]), beta = broadcast(e.k[0]), rest = broadcast(e.k[1]);
    Sum size;
    const auto square = [&](int64_t at, auto n, Vec) {
      const Vec g = load_up_to(e.gradient + at, n) * scale;
      if (sizes) size.add_square(load_param(e, at, n));
      return fma(g, g, eps);
    };
    if (e.outer != 0) {
      walk<false, true>(b, kNone, moments_of(e), square);
    } else {
      for_vectors(b.end - b.begin, [&](int64_t i, auto n) {
        float* v = e.state[0] + b.begin + i;
        store_up_to(v, fma(beta, load_up_to(v, n), rest * square(b.begin + i, n, zero())), n);
      });
    }
    w.sums[2 * task + 1] = size.value();
    if (in_many_blocks(e)) return;
    if (in_one_block(e)) finish_sheet(e, b.sheet, moments_of(e));
    sum_normalized(b, task);
  });
  for_many_blocks(batch, moments_of, sum_normalized);
}

void ada_factor(const Batch& batch, Vec scale) {
  const Workspace w(batch, false);
  const auto moments = [&](const TensorStepEntry& e) { return w.moments(e, 0, false, e.k[0], e.k[1]); };
  gather_squares(batch, w, scale, true, moments);
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
    for_normalized(b, moments(e), scale, [&](int64_t at, auto n, Vec u) {
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
  const Workspace w(batch, true);
  const auto squares = [&](const TensorStepEntry& e) { return w.moments(e, 0, false, e.k[0], e.k[1]); };
  const auto errors = [&](const TensorStepEntry& e) { return w.moments(e, 3, true, e.k[9], e.k[10]); };
  gather_squares(batch, w, scale, false, squares);
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
    walk<true, false>(b, errors(e), kNone, [&](int64_t at, auto n, Vec factor) {
      apply(e, at, n, load_up_to(e.state[2] + at, n) * factor);
      return factor;
    });
  };
  for_blocks(batch, [&](const Block& b, int64_t task) {
    const TensorStepEntry& e = *b.e;
    const Vec share = broadcast(w.results[2 * number_of(batch, e)]), eps = broadcast(e.k[3]);
    if (e.outer == 0)
      return for_normalized(b, kNone, scale,
                            [&](int64_t at, auto n, Vec u) { apply(e, at, n, step_moment(e, at, n, u * share)); });
    walk<true, true>(b, squares(e), errors(e), [&](int64_t at, auto n, Vec factor) {
      const Vec u = load_up_to(e.gradient + at, n) * scale * factor * share;
      const Vec error = u - step_moment(e, at, n, u);
      return fma(error, error, eps);
    });
    if (!in_one_block(e)) return;
    finish_sheet(e, b.sheet, errors(e));
    correct(b, task);
  });
  for_many_blocks(batch, errors, correct);
}

void stable_adam_w(const Batch& batch, Vec scale) {
  const Workspace w(batch, false);
  for_blocks(batch, [&](const Block& b, int64_t task) {
    const TensorStepEntry& e = *b.e;
    const Vec beta1 = broadcast(e.k[0]), rest1 = broadcast(e.k[1]), beta2 = broadcast(e.k[2]),
              rest2 = broadcast(e.k[3]), least = broadcast(e.k[6]);
    Sum sum;
    for_vectors(b.end - b.begin, [&](int64_t i, auto n) {
      const int64_t at = b.begin + i;
      const Vec g = load_up_to(e.gradient + at, n) * scale, square = g * g;
      const Vec m = fma(beta1, load_up_to(e.state[0] + at, n), rest1 * g);
      const Vec v = fma(beta2, load_up_to(e.state[1] + at, n), rest2 * square);
      store_up_to(e.state[0] + at, m, n);
      store_up_to(e.state[1] + at, v, n);
      sum.add(masked(square / max(v, least), n));
    });
    w.sums[2 * task] = sum.value();
    w.sums[2 * task + 1] = 0;
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

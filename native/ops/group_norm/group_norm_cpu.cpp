// Work is cut into chunks of pixels of one sample, so that every row of memory is read in order and a chunk stays in
// the inner caches. Forward: a task finds the mean and the squared deviations of its chunk for every group (two sweeps,
// the second from cache); one fixed reduction per group joins the chunks in double precision; a second pass writes y: x
// is read twice, y written once. Backward: pass one leaves sums of dz and dz xhat per channel and chunk, from which
// everything but dx follows; pass two reads dy and x again and writes dx. The second pass walks backwards, over what
// the first has just left in the caches, and samples are handled in blocks that fit them.
#include "ops/group_norm/group_norm.h"

#include <type_traits>

#include "core/elementary.h"
#include "core/rows.h"

namespace noisewright::NOISEWRIGHT_TARGET {

namespace {

// How a tensor is cut up; depends on its shape alone.
struct Plan {
  int64_t pixels, c, chunk, chunks, block;
  int64_t padded;  // c rounded up to whole vectors of any target: the length of per-channel scratch rows

  Plan(int64_t n, int64_t pixels, int64_t c) : pixels(pixels), c(c), padded(padded_length(c)) {
    constexpr int64_t kChunkElements = 16384, kBlockElements = int64_t{1} << 21;
    chunk = kChunkElements / c;
    chunk = chunk < 16 ? 16 : chunk > 512 ? 512 : chunk;
    chunks = (pixels + chunk - 1) / chunk;
    block = pixels * c > 0 ? kBlockElements / (pixels * c) : n;
    block = block < 1 ? 1 : block > n ? n : block;
  }
  int64_t first(int64_t index) const { return index * chunk; }
  int64_t size(int64_t index) const { return chunk < pixels - first(index) ? chunk : pixels - first(index); }
};

// ------------------------------------------------------------------------------------------------------------------
// forward

// What a task leaves of its chunk for one group: m, near the mean, and the sums of x - m and of (x - m)^2. m is rounded
// to float32; the first sum says by how much it misses, which matters where |mean| is much larger than the deviation.
struct Partial {
  float centre, deviations, squares;
};

NW_INLINE float sum_of(const float* values, int64_t begin, int64_t end) {
  float sum = 0.0f;
  for (int64_t i = begin; i < end; i++) sum += values[i];
  return sum;
}

// partial[g] for the rows of a chunk; local is scratch for three rows. Four rows at a time join as a tree, the rest one
// by one.
template <class T>
void chunk_statistics(const T* x, int64_t rows, const GroupNormParams& p, float* local, int64_t padded,
                      Partial* partial) {
  const int64_t c = p.c, width = c / p.groups, fours = rows / 4 * 4;
  float *sums = local, *squares = local + padded, *centre = squares + padded;
  clear(sums, padded);
  for (int64_t r = 0; r < fours; r += 4)
    for_vectors(c, [&](int64_t i, auto n) {
      const T* at = x + r * c + i;
      const Vec first = load_up_to(at, n) + load_up_to(at + c, n),
                second = load_up_to(at + 2 * c, n) + load_up_to(at + 3 * c, n);
      store(sums + i, load(sums + i) + (first + second));
    });
  for (int64_t r = fours; r < rows; r++)
    for_vectors(c, [&](int64_t i, auto n) { store(sums + i, load(sums + i) + load_up_to(x + r * c + i, n)); });
  for (int64_t g = 0; g < p.groups; g++) {
    partial[g].centre = sum_of(sums, g * width, (g + 1) * width) / static_cast<float>(rows * width);
    for (int64_t i = g * width; i < (g + 1) * width; i++) centre[i] = partial[g].centre;
  }
  clear(sums, 2 * padded);
  for (int64_t r = 0; r < fours; r += 4)
    for_vectors(c, [&](int64_t i, auto n) {
      const T* at = x + r * c + i;
      const Vec m = load(centre + i), d0 = load_up_to(at, n) - m, d1 = load_up_to(at + c, n) - m;
      const Vec d2 = load_up_to(at + 2 * c, n) - m, d3 = load_up_to(at + 3 * c, n) - m;
      store(sums + i, load(sums + i) + ((d0 + d1) + (d2 + d3)));
      store(squares + i, load(squares + i) + (fma(d0, d0, d1 * d1) + fma(d2, d2, d3 * d3)));
    });
  for (int64_t r = fours; r < rows; r++)
    for_vectors(c, [&](int64_t i, auto n) {
      const Vec d = load_up_to(x + r * c + i, n) - load(centre + i);
      store(sums + i, load(sums + i) + d);
      store(squares + i, fma(d, d, load(squares + i)));
    });
  for (int64_t g = 0; g < p.groups; g++) {
    partial[g].deviations = sum_of(sums, g * width, (g + 1) * width);
    partial[g].squares = sum_of(squares, g * width, (g + 1) * width);
  }
}

// Joins the chunks of one group (Chan, Golub and LeVeque's update, over all chunks at once). partial[k * groups] is
// chunk k. The mean is returned in double precision.
double join_chunks(const Plan& plan, const GroupNormParams& p, const Partial* partial, float* rstd_out) {
  const int64_t width = p.c / p.groups;
  const double count = static_cast<double>(plan.pixels * width);
  double total = 0.0, squares = 0.0;
  for (int64_t k = 0; k < plan.chunks; k++) {
    const Partial& chunk = partial[k * p.groups];
    total += static_cast<double>(plan.size(k) * width) * static_cast<double>(chunk.centre) +
             static_cast<double>(chunk.deviations);
  }
  const double mean = total / count;
  for (int64_t k = 0; k < plan.chunks; k++) {
    // The sum of (x - mean)^2 from that of (x - m)^2, with shift = m - mean.
    const Partial& chunk = partial[k * p.groups];
    const double shift = static_cast<double>(chunk.centre) - mean;
    squares += static_cast<double>(chunk.squares) + shift * (2.0 * static_cast<double>(chunk.deviations) +
                                                             static_cast<double>(plan.size(k) * width) * shift);
  }
  *rstd_out = static_cast<float>(1.0 / __builtin_sqrt(squares / count + static_cast<double>(p.eps)));
  return mean;
}

template <bool silu, class T, class Y>
void normalise(const T* x, Y* y, int64_t rows, int64_t c, const float* mean, const float* factor, const float* offset) {
  for (int64_t r = 0; r < rows; r++)
    for_vectors(c, [&](int64_t i, auto n) {
      Vec z = fma(load_up_to(x + r * c + i, n) - load(mean + i), load(factor + i), load(offset + i));
      if constexpr (silu) z = z * sigmoid(z);
      store_up_to(y + r * c + i, z, n);
    });
}

// Scratch of the statistics of `plan.block` samples at a time.
struct Workspace {
  const Plan& plan;
  Scratch<float> parameters, locals;
  Scratch<Partial> partials;
  float *weight, *bias;

  Workspace(const Plan& plan, const GroupNormParams& p)
      : plan(plan),
        parameters(2 * plan.padded),
        locals(thread_count() * 3 * plan.padded),
        partials(plan.block * plan.chunks * p.groups),
        weight(parameters.data),
        bias(weight + plan.padded) {
    clear(parameters.data, 2 * plan.padded);
    clear(locals.data, thread_count() * 3 * plan.padded);
    widen(p.weight, p.weight_dtype, weight, p.c);
    widen(p.bias, p.bias_dtype, bias, p.c);
  }
};

// p.mean and p.rstd of samples [sample, sample + samples), and for each its rows of mean, factor and offset.
template <class T>
void find_statistics(const GroupNormParams& p, const Workspace& work, int64_t sample, int64_t samples, float* rows) {
  const Plan& plan = work.plan;
  const int64_t c = p.c, padded = plan.padded, width = c / p.groups;
  const auto* x = static_cast<const T*>(p.x) + sample * p.pixels * c;
  parallel_for(samples * plan.chunks, [&](int64_t task, int thread) {
    const int64_t s = task / plan.chunks, k = task % plan.chunks;
    chunk_statistics(x + (s * p.pixels + plan.first(k)) * c, plan.size(k), p, work.locals.data + thread * 3 * padded,
                     padded, work.partials.data + task * p.groups);
  });
  parallel_for(samples * p.groups, [&](int64_t task) {
    const int64_t s = task / p.groups, g = task % p.groups, at = (sample + s) * p.groups + g;
    const double exact = join_chunks(plan, p, work.partials.data + s * plan.chunks * p.groups + g, p.rstd + at);
    p.mean[at] = static_cast<float>(exact);
    const float rest = static_cast<float>(exact - static_cast<double>(p.mean[at]));  // matters when |mean| >> deviation
    float *mean = rows + s * 3 * padded, *factor = mean + padded, *offset = factor + padded;
    for (int64_t i = g * width; i < (g + 1) * width; i++) {
      mean[i] = p.mean[at];
      factor[i] = p.rstd[at] * work.weight[i];
      offset[i] = work.bias[i] - rest * factor[i];
    }
  });
}

template <bool silu, class T>
void forward_typed(const GroupNormParams& p) {
  const Plan plan(p.n, p.pixels, p.c);
  const int64_t c = p.c, padded = plan.padded;
  const Workspace work(plan, p);
  Scratch<float> rows(plan.block * 3 * padded);
  clear(rows.data, plan.block * 3 * padded);
  for (int64_t sample = 0; sample < p.n; sample += plan.block) {
    const int64_t samples = plan.block < p.n - sample ? plan.block : p.n - sample;
    const auto* x = static_cast<const T*>(p.x) + sample * p.pixels * c;
    auto* y = static_cast<T*>(p.y) + sample * p.pixels * c;
    find_statistics<T>(p, work, sample, samples, rows.data);
    parallel_for(samples * plan.chunks, [&](int64_t task) {
      const int64_t from_end = samples * plan.chunks - 1 - task, s = from_end / plan.chunks, k = from_end % plan.chunks;
      const int64_t first = (s * p.pixels + plan.first(k)) * c;
      const float* mean = rows.data + s * 3 * padded;
      normalise<silu>(x + first, y + first, plan.size(k), c, mean, mean + padded, mean + 2 * padded);
    });
  }
}

template <class T, class Y>
void apply_typed(const GroupNormApplyParams& p) {
  const Plan plan(1, p.pixels, p.c);
  const float *mean = p.rows, *factor = mean + plan.padded, *offset = factor + plan.padded;
  parallel_for(plan.chunks, [&](int64_t k) {
    const auto* x = static_cast<const T*>(p.x) + plan.first(k) * p.c;
    auto* y = static_cast<Y*>(p.y) + plan.first(k) * p.c;
    p.silu ? normalise<true>(x, y, plan.size(k), p.c, mean, factor, offset)
           : normalise<false>(x, y, plan.size(k), p.c, mean, factor, offset);
  });
}

// -----------------------------------------------------------------------------------------------------------------
// backward

// Per-channel constants of one sample, each a row of `padded` floats.
enum Row { kMean, kRstd, kFactor, kOffset, kSlope, kRows };

// dz = dL/d(weight xhat + bias), from dy, d = x - mean and the channel's constants.
template <bool silu>
NW_INLINE Vec before_silu(Vec dy, Vec d, const float* factor, const float* bias) {
  if constexpr (!silu) return dy;
  const Vec one = broadcast(1.0f), z = fma(d, load(factor), load(bias)), s = sigmoid(z);
  return dy * (s * fma(z, one - s, one));
}

// sums[0..c) = sum of dz, sums[padded..) = sum of dz xhat over the rows of a chunk.
template <bool silu, class T>
void chunk_sums(const T* dy, const T* x, int64_t rows, int64_t c, int64_t padded, const float* constants,
                const float* bias, float* sums) {
  const float *mean = constants + kMean * padded, *rstd = constants + kRstd * padded,
              *factor = constants + kFactor * padded;
  clear(sums, 2 * padded);
  const auto add = [&](int64_t r, int64_t i, auto n, Vec* dz, Vec* product) {
    const Vec d = load_up_to(x + r * c + i, n) - load(mean + i);
    *dz = before_silu<silu>(load_up_to(dy + r * c + i, n), d, factor + i, bias + i);
    *product = *dz * (d * load(rstd + i));
  };
  int64_t r = 0;
  for (; r + 2 <= rows; r += 2)
    for_vectors(c, [&](int64_t i, auto n) {
      Vec dz0, dz1, product0, product1;
      add(r, i, n, &dz0, &product0);
      add(r + 1, i, n, &dz1, &product1);
      store(sums + i, load(sums + i) + (dz0 + dz1));
      store(sums + padded + i, load(sums + padded + i) + (product0 + product1));
    });
  for (; r < rows; r++)
    for_vectors(c, [&](int64_t i, auto n) {
      Vec dz, product;
      add(r, i, n, &dz, &product);
      store(sums + i, load(sums + i) + dz);
      store(sums + padded + i, load(sums + padded + i) + product);
    });
}

// dx = factor dz - offset - (x - mean) slope.
template <bool silu, class T>
void input_gradient(const T* dy, const T* x, T* dx, int64_t rows, int64_t c, int64_t padded, const float* constants,
                    const float* bias) {
  const float *mean = constants + kMean * padded, *factor = constants + kFactor * padded;
  const float *offset = constants + kOffset * padded, *slope = constants + kSlope * padded;
  for (int64_t r = 0; r < rows; r++)
    for_vectors(c, [&](int64_t i, auto n) {
      const Vec d = load_up_to(x + r * c + i, n) - load(mean + i);
      const Vec dz = before_silu<silu>(load_up_to(dy + r * c + i, n), d, factor + i, bias + i);
      store_up_to(dx + r * c + i, fnma(d, load(slope + i), fma(dz, load(factor + i), zero() - load(offset + i))), n);
    });
}

template <bool silu, class T>
void backward_typed(const GroupNormBackwardParams& p) {
  const Plan plan(p.n, p.pixels, p.c);
  const int64_t c = p.c, padded = plan.padded, width = c / p.groups;
  Scratch<float> parameters(2 * padded), constants(plan.block * kRows * padded), totals(p.n * 2 * padded);
  Scratch<float> partials(plan.block * plan.chunks * 2 * padded);
  float *weight = parameters.data, *bias = weight + padded;
  clear(weight, 2 * padded);
  clear(constants.data, plan.block * kRows * padded);
  widen(p.weight, p.weight_dtype, weight, c);
  widen(p.bias, p.bias_dtype, bias, c);
  for (int64_t sample = 0; sample < p.n; sample += plan.block) {
    const int64_t samples = plan.block < p.n - sample ? plan.block : p.n - sample, start = sample * p.pixels * c;
    const auto *x = static_cast<const T*>(p.x) + start, *dy = static_cast<const T*>(p.dy) + start;
    parallel_for(samples * p.groups, [&](int64_t task) {
      const int64_t s = task / p.groups, g = task % p.groups, at = (sample + s) * p.groups + g;
      float* row = constants.data + s * kRows * padded;
      for (int64_t i = g * width; i < (g + 1) * width; i++) {
        row[kMean * padded + i] = p.mean[at];
        row[kRstd * padded + i] = p.rstd[at];
        row[kFactor * padded + i] = p.rstd[at] * weight[i];
      }
    });
    parallel_for(samples * plan.chunks, [&](int64_t task) {
      const int64_t s = task / plan.chunks, k = task % plan.chunks, first = (s * p.pixels + plan.first(k)) * c;
      chunk_sums<silu>(dy + first, x + first, plan.size(k), c, padded, constants.data + s * kRows * padded, bias,
                       partials.data + task * 2 * padded);
    });
    for (int64_t s = 0; s < samples; s++)
      add_partials(partials.data + s * plan.chunks * 2 * padded, plan.chunks, 2 * padded,
                   totals.data + (sample + s) * 2 * padded, 2 * padded);
    if (!p.dx) continue;
    auto* dx = static_cast<T*>(p.dx) + start;
    parallel_for(samples * p.groups, [&](int64_t task) {
      const int64_t s = task / p.groups, g = task % p.groups;
      const float *total = totals.data + (sample + s) * 2 * padded, *total_product = total + padded;
      double a = 0.0, b = 0.0;
      for (int64_t i = g * width; i < (g + 1) * width; i++) {
        a += static_cast<double>(weight[i]) * total[i];
        b += static_cast<double>(weight[i]) * total_product[i];
      }
      const double rstd = p.rstd[(sample + s) * p.groups + g], scale = rstd / static_cast<double>(p.pixels * width);
      float* row = constants.data + s * kRows * padded;
      for (int64_t i = g * width; i < (g + 1) * width; i++) {
        row[kOffset * padded + i] = static_cast<float>(scale * a);
        row[kSlope * padded + i] = static_cast<float>(scale * rstd * b);
      }
    });
    parallel_for(samples * plan.chunks, [&](int64_t task) {
      const int64_t from_end = samples * plan.chunks - 1 - task, s = from_end / plan.chunks, k = from_end % plan.chunks;
      const int64_t first = (s * p.pixels + plan.first(k)) * c;
      input_gradient<silu>(dy + first, x + first, dx + first, plan.size(k), c, padded,
                           constants.data + s * kRows * padded, bias);
    });
  }
  if (p.dbias) add_partials(totals.data, p.n, 2 * padded, p.dbias, c);
  if (p.dweight) add_partials(totals.data + padded, p.n, 2 * padded, p.dweight, c);
}

}  // namespace

void group_norm_forward(const GroupNormParams& p) {
  with_float_type(p.dtype, [&](auto* t) {
    using T = std::remove_pointer_t<decltype(t)>;
    p.silu ? forward_typed<true, T>(p) : forward_typed<false, T>(p);
  });
}

void group_norm_statistics(const GroupNormStatisticsParams& given) {
  const GroupNormParams& p = given.norm;
  float* rows = given.rows;
  const Plan plan(1, p.pixels, p.c);
  clear(rows, 3 * plan.padded);
  const Workspace work(plan, p);
  with_float_type(p.dtype, [&](auto* t) { find_statistics<std::remove_pointer_t<decltype(t)>>(p, work, 0, 1, rows); });
}

void group_norm_apply(const GroupNormApplyParams& p) {
  with_float_type(p.dtype, [&](auto* t) {
    using T = std::remove_pointer_t<decltype(t)>;
    p.y_dtype == p.dtype ? apply_typed<T, T>(p) : apply_typed<T, float>(p);
  });
}

void group_norm_backward(const GroupNormBackwardParams& p) {
  with_float_type(p.dtype, [&](auto* t) {
    using T = std::remove_pointer_t<decltype(t)>;
    p.silu ? backward_typed<true, T>(p) : backward_typed<false, T>(p);
  });
}

}  // namespace noisewright::NOISEWRIGHT_TARGET

// Memory bound. Forward: runs of 256 elements are summed in float32, runs and chunks in float64 in index order, so the
// loss has no error of its own to speak of. Backward: dprediction = dloss w_n / (n size) mask l'(prediction - target),
// in one pass.
#include "ops/element_loss/element_loss.h"

#include "core/parallel.h"
#include "core/simd.h"

namespace noisewright::NOISEWRIGHT_TARGET {

namespace {

constexpr int64_t kChunk = 4096, kRun = 256;

// The loss of a difference is the product of the two. sqrt(d^2 + c^2) - c as d^2 / (sqrt(d^2 + c^2) + c) loses nothing
// where d is small.
struct Factors {
  Vec a, b;
};

template <ElementLoss kind>
NW_INLINE Factors loss_of(Vec d, Vec c) {
  if constexpr (kind == ElementLoss::kL2) {
    return {d, d};
  } else if constexpr (kind == ElementLoss::kL1) {
    return {broadcast(1.0f), abs(d)};
  } else {
    const Vec root = sqrt(fma(d, d, c * c)), two = broadcast(2.0f);
    return {kind == ElementLoss::kHuber ? two * c : two, d * d / (root + c)};
  }
}

// Half of the derivative of the loss by d. What is not a number stays so.
template <ElementLoss kind>
NW_INLINE Vec half_slope(Vec d, Vec c) {
  if constexpr (kind == ElementLoss::kL2) {
    return d;
  } else if constexpr (kind == ElementLoss::kL1) {
    const Vec half = broadcast(0.5f), positive = select_less(zero(), d, half, zero());
    return fma(d, zero(), select_less(d, zero(), zero() - half, positive));
  } else {
    const Vec slope = d / sqrt(fma(d, d, c * c));
    return kind == ElementLoss::kHuber ? c * slope : slope;
  }
}

// Part of a sample, at most a chunk.
struct Piece {
  int64_t sample, start, count;
};

NW_INLINE Piece piece_of(const ElementLossParams& p, int64_t chunks, int64_t task) {
  const int64_t start = task % chunks * kChunk;
  return {task / chunks, start, p.size - start < kChunk ? p.size - start : kChunk};
}

// Calls body(at, n, difference, mask) for each vector of a piece: n elements or more exist from `at` on, an index into
// the batch. Calls end() after every 256 elements and the last.
template <class T, class U, class Body, class End>
NW_INLINE void for_each_vector(const ElementLossParams& p, Piece piece, T*, U*, Body&& body, End&& end) {
  const T* prediction = static_cast<const T*>(p.prediction);
  const U* target = static_cast<const U*>(p.target);
  float mask[kRun];
  for (float& value : mask) value = 1.0f;
  for (int64_t first = 0; first < piece.count; first += kRun) {
    const int64_t count = piece.count - first < kRun ? piece.count - first : kRun;
    const int64_t begin = piece.sample * p.size + piece.start + first;
    if (p.mask) {
      int64_t position = begin / p.channels, channel = begin % p.channels;
      for (int64_t i = 0; i < count; i++) {
        mask[i] = p.mask[position];
        if (++channel == p.channels) channel = 0, position++;
      }
    }
    for (int64_t i = 0; i < count; i += kLanes) {
      const int64_t n = count - i, at = begin + i;
      body(at, n, load_up_to(prediction + at, n) - load_up_to(target + at, n), load_up_to(mask + i, n));
    }
    end();
  }
}

template <ElementLoss kind, class T, class U>
NW_INLINE double sum_of(const ElementLossParams& p, Piece piece, T* t, U* u) {
  const Vec threshold = broadcast(p.thresholds ? p.thresholds[piece.sample] : 0.0f);
  double total = 0;
  Vec sum = zero();
  for_each_vector(
      p, piece, t, u,
      [&](int64_t, int64_t, Vec d, Vec mask) {
        const Factors loss = loss_of<kind>(d, threshold);
        sum = fma(mask * loss.a, loss.b, sum);
      },
      [&] {
        total += sum_lanes(sum);
        sum = zero();
      });
  return total;
}

template <ElementLoss kind, class T, class U>
NW_INLINE void write_gradient(const ElementLossParams& p, Piece piece, double scale, T* t, U* u) {
  const Vec threshold = broadcast(p.thresholds ? p.thresholds[piece.sample] : 0.0f);
  const Vec factor = broadcast(static_cast<float>(scale * (p.weights ? p.weights[piece.sample] : 1.0f)));
  T* dprediction = static_cast<T*>(p.dprediction);
  for_each_vector(
      p, piece, t, u,
      [&](int64_t at, int64_t n, Vec d, Vec mask) {
        store_up_to(dprediction + at, factor * (mask * half_slope<kind>(d, threshold)), n);
      },
      [] {});
}

template <ElementLoss kind>
struct Kind {
  static constexpr ElementLoss value = kind;
};

// Calls body(Kind, t, u) with null pointers of the types of prediction and target.
template <class Body>
NW_INLINE void with_types(const ElementLossParams& p, Body&& body) {
  const auto with_kind = [&](auto* t, auto* u) {
    switch (p.kind) {
      case ElementLoss::kL2:
        return body(Kind<ElementLoss::kL2>{}, t, u);
      case ElementLoss::kL1:
        return body(Kind<ElementLoss::kL1>{}, t, u);
      case ElementLoss::kHuber:
        return body(Kind<ElementLoss::kHuber>{}, t, u);
      case ElementLoss::kSmoothL1:
        return body(Kind<ElementLoss::kSmoothL1>{}, t, u);
    }
  };
  with_float_type(p.dtype, [&](auto* t) { with_float_type(p.target_dtype, [&](auto* u) { with_kind(t, u); }); });
}

}  // namespace

void element_loss_forward(const ElementLossParams& p) {
  const int64_t chunks = (p.size + kChunk - 1) / kChunk;
  Scratch<double> sums(p.samples * chunks);
  with_types(p, [&](auto kind, auto* t, auto* u) {
    parallel_for(p.samples * chunks,
                 [&](int64_t task) { sums[task] = sum_of<decltype(kind)::value>(p, piece_of(p, chunks, task), t, u); });
  });
  double loss = 0;
  for (int64_t n = 0; n < p.samples; n++) {
    double sample = 0;
    for (int64_t chunk = 0; chunk < chunks; chunk++) sample += sums[n * chunks + chunk];
    loss += sample * (p.weights ? p.weights[n] : 1.0f);
  }
  *p.loss = static_cast<float>(loss / static_cast<double>(p.samples * p.size));
}

void element_loss_backward(const ElementLossParams& p) {
  const int64_t chunks = (p.size + kChunk - 1) / kChunk;
  const double scale = 2.0 * *p.dloss / static_cast<double>(p.samples * p.size);
  with_types(p, [&](auto kind, auto* t, auto* u) {
    parallel_for(p.samples * chunks, [&](int64_t task) {
      write_gradient<decltype(kind)::value>(p, piece_of(p, chunks, task), scale, t, u);
    });
  });
}

}  // namespace noisewright::NOISEWRIGHT_TARGET

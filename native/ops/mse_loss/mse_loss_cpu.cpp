// Memory bound. Forward: runs of 256 elements are summed in float32, runs and chunks in float64 in index order, so the
// loss has no error of its own to speak of. Backward: dprediction = dloss 2 w_n / (n size) (prediction - target), in
// one pass.
#include "ops/mse_loss/mse_loss.h"

#include "core/parallel.h"
#include "core/simd.h"

namespace noisewright::NOISEWRIGHT_TARGET {

namespace {

constexpr int64_t kChunk = 4096, kRun = 256;

template <class T, class U>
NW_INLINE double squares(const T* a, const U* b, int64_t count) {
  double total = 0;
  for (int64_t start = 0; start < count; start += kRun) {
    const int64_t n = count - start < kRun ? count - start : kRun;
    Vec sum = zero();
    for (int64_t i = 0; i < n; i += kLanes) {
      const Vec d = load_up_to(a + start + i, n - i) - load_up_to(b + start + i, n - i);
      sum = fma(d, d, sum);
    }
    total += sum_lanes(sum);
  }
  return total;
}

template <class Body>
NW_INLINE void with_types(const MseLossParams& p, Body&& body) {
  with_float_type(p.dtype, [&](auto* t) { with_float_type(p.target_dtype, [&](auto* u) { body(t, u); }); });
}

}  // namespace

void mse_loss_forward(const MseLossParams& p) {
  const int64_t chunks = (p.size + kChunk - 1) / kChunk;
  Scratch<double> sums(p.samples * chunks);
  with_types(p, [&](auto* t, auto* u) {
    const auto* prediction = static_cast<decltype(t)>(const_cast<void*>(p.prediction));
    const auto* target = static_cast<decltype(u)>(const_cast<void*>(p.target));
    parallel_for(p.samples * chunks, [&](int64_t task) {
      const int64_t start = task % chunks * kChunk, first = task / chunks * p.size + start;
      sums[task] = squares(prediction + first, target + first, p.size - start < kChunk ? p.size - start : kChunk);
    });
  });
  double loss = 0;
  for (int64_t n = 0; n < p.samples; n++) {
    double sample = 0;
    for (int64_t chunk = 0; chunk < chunks; chunk++) sample += sums[n * chunks + chunk];
    loss += sample * (p.weights ? p.weights[n] : 1.0f);
  }
  *p.loss = static_cast<float>(loss / static_cast<double>(p.samples * p.size));
}

void mse_loss_backward(const MseLossParams& p) {
  const int64_t chunks = (p.size + kChunk - 1) / kChunk;
  const double scale = 2.0 * *p.dloss / static_cast<double>(p.samples * p.size);
  with_types(p, [&](auto* t, auto* u) {
    const auto* prediction = static_cast<decltype(t)>(const_cast<void*>(p.prediction));
    const auto* target = static_cast<decltype(u)>(const_cast<void*>(p.target));
    auto* dprediction = static_cast<decltype(t)>(p.dprediction);
    parallel_for(p.samples * chunks, [&](int64_t task) {
      const int64_t n = task / chunks, start = task % chunks * kChunk, first = n * p.size + start;
      const int64_t count = p.size - start < kChunk ? p.size - start : kChunk;
      const Vec factor = broadcast(static_cast<float>(scale * (p.weights ? p.weights[n] : 1.0f)));
      for (int64_t i = 0; i < count; i += kLanes) {
        const Vec d = load_up_to(prediction + first + i, count - i) - load_up_to(target + first + i, count - i);
        store_up_to(dprediction + first + i, factor * d, count - i);
      }
    });
  });
}

}  // namespace noisewright::NOISEWRIGHT_TARGET

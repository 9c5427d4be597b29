// Reads every gradient once. A chunk of 4096 elements is summed in runs of 256 (float32 inside a run, float64 between
// them), the chunks in float64 in order: the borders depend on sizes alone.
#include "ops/gradient_norm/gradient_norm.h"

#include <math.h>

#include "core/parallel.h"
#include "core/simd.h"

namespace noisewright::NOISEWRIGHT_TARGET {

namespace {

double chunk_squares(const float* x, int64_t count) {
  double total = 0;
  for (int64_t start = 0; start < count; start += 256) {
    const int64_t n = count - start < 256 ? count - start : 256;
    Vec sum = zero();
    for (int64_t i = 0; i < n; i += kLanes) {
      const Vec v = load_up_to(x + start + i, n - i);
      sum = fma(v, v, sum);
    }
    total += sum_lanes(sum);
  }
  return total;
}

}  // namespace

void gradient_norm(const GradientNormParams& p) {
  Scratch<double> sums(p.chunk_count > 0 ? p.chunk_count : 1);
  parallel_chunks(p.chunk_count, 16, [&](int64_t begin, int64_t end) {
    int64_t low = 0, high = p.entry_count - 1;
    while (low < high) {  // the last tensor that starts at or before `begin`
      const int64_t middle = (low + high + 1) / 2;
      if (p.entries[middle].first_task <= begin)
        low = middle;
      else
        high = middle - 1;
    }
    for (int64_t chunk = begin; chunk < end; chunk++) {
      while (low + 1 < p.entry_count && p.entries[low + 1].first_task <= chunk) low++;
      const GradientNormEntry& e = p.entries[low];
      const int64_t start = (chunk - e.first_task) * kGradientNormChunk;
      sums[chunk] =
          chunk_squares(e.x + start, e.count - start < kGradientNormChunk ? e.count - start : kGradientNormChunk);
    }
  });
  double total = 0;
  for (int64_t chunk = 0; chunk < p.chunk_count; chunk++) total += sums[chunk];
  const double norm = ::sqrt(total) / p.multiple, coefficient = p.max_norm / (norm + 1e-6);
  p.y[0] = static_cast<float>(norm);
  p.y[1] = static_cast<float>((coefficient < 1 ? coefficient : 1.0) / p.multiple);
}

}  // namespace noisewright::NOISEWRIGHT_TARGET

// Compute bound: nothing but fma on registers.
#include "ops/peak_probe/peak_probe.h"

#include "core/parallel.h"
#include "core/simd.h"

namespace noisewright::NOISEWRIGHT_TARGET {

void peak_probe(const PeakProbeParams& p) {
  parallel_for(p.tasks, [&](int64_t task) {
    const Vec half = broadcast(0.5f);
    Vec chains[kPeakProbeChains];
    for (int i = 0; i < kPeakProbeChains; i++) chains[i] = broadcast(static_cast<float>(i));
    for (int64_t n = 0; n < p.vectors; n++)
      for (int i = 0; i < kPeakProbeChains; i++) chains[i] = fma(chains[i], half, half);  // tends to 1
    Vec sum = zero();
    for (int i = 0; i < kPeakProbeChains; i++) sum = sum + chains[i];
    p.y[2 * task] = static_cast<float>(kLanes);
    p.y[2 * task + 1] = sum_lanes(sum);
  });
}

}  // namespace noisewright::NOISEWRIGHT_TARGET

// How many float32 multiply-adds the machine's threads can do in a second: the yardstick of the benchmarks.
#pragma once
#include <cstdint>

#include "core/cpu_target.h"

namespace noisewright {

constexpr int64_t kPeakProbeChains = 12;  // independent sums of one task: enough to hide the latency of an fma

struct PeakProbeParams {
  float* y;         // [tasks, 2]: lanes of a vector, sum of the task's chains
  int64_t tasks;    // as many as keep all threads busy
  int64_t vectors;  // multiply-adds of whole vectors in each chain
};

CPU_KERNEL(peak_probe, PeakProbeParams)

}  // namespace noisewright

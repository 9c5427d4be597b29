// What the kernels of adaptive_step_cuda.cu and their host code in adaptive_step_cuda.cpp agree on.
#pragma once
#include "ops/adaptive_step/adaptive_step.h"

namespace noisewright::cuda {

constexpr int kAdaptiveThreads = 256;
constexpr int kAdaptiveJoinThreads = 512;
constexpr int kAdaptiveSlices = 4;                                   // thread blocks that share a task
constexpr int64_t kAdaptiveChunk = kAdaptiveTask / kAdaptiveSlices;  // elements of each of them

// What a step has come to; its kernels tell each other.
struct AdaptiveProgress {
  AdaptiveScalars next;
  double rate;
  bool going;  // something is to be changed
};

struct AdaptiveRun {
  AdaptiveProgress* progress;
  double* partial;  // [thread blocks, sums of the rule]
};

}  // namespace noisewright::cuda

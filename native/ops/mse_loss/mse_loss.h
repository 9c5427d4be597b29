// loss = 1/n sum_n w_n mean((prediction_n - target_n)^2): one number for the batch, weights by sample.
#pragma once
#include "core/cpu_target.h"
#include "core/dtype.h"

namespace noisewright {

struct MseLossParams {
  const void* prediction;  // [samples, size]
  const void* target;      // [samples, size]
  const float* weights;    // [samples] or null: all 1
  float* loss;             // [] (forward)
  const float* dloss;      // [] (backward)
  void* dprediction;       // like prediction (backward)
  int64_t samples;
  int64_t size;  // elements of a sample
  DType dtype;   // of prediction and dprediction
  DType target_dtype;
};

CPU_KERNEL(mse_loss_forward, MseLossParams)
CPU_KERNEL(mse_loss_backward, MseLossParams)

}  // namespace noisewright

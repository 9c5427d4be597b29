// loss = 1/n sum_n w_n mean(mask_n l(prediction_n - target_n)): one number for the batch; weights and thresholds by
// sample, the mask by position.
#pragma once
#include "core/cpu_target.h"
#include "core/dtype.h"

namespace noisewright {

// With d the difference and c the threshold: d^2, |d|, 2c (sqrt(d^2 + c^2) - c), 2 (sqrt(d^2 + c^2) - c).
enum class ElementLoss : int64_t { kL2, kL1, kHuber, kSmoothL1 };

struct ElementLossParams {
  const void* prediction;   // [samples, size]
  const void* target;       // [samples, size]
  const float* weights;     // [samples] or null: all 1
  const float* thresholds;  // [samples], positive; null: the kind has none
  const float* mask;        // [samples, size / channels] or null: all 1
  float* loss;              // [] (forward)
  const float* dloss;       // [] (backward)
  void* dprediction;        // like prediction (backward)
  int64_t samples;
  int64_t size;      // elements of a sample
  int64_t channels;  // elements that share a number of the mask
  ElementLoss kind;
  DType dtype;  // of prediction and dprediction
  DType target_dtype;
};

CPU_KERNEL(element_loss_forward, ElementLossParams)
CPU_KERNEL(element_loss_backward, ElementLossParams)
namespace cuda {
void element_loss_forward(const ElementLossParams&);
void element_loss_backward(const ElementLossParams&);
}  // namespace cuda

}  // namespace noisewright

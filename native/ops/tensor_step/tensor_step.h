// One step, for every parameter of a model in one call, of optimizers that need statistics of whole tensors: sums over
// rows and columns (AdaFactor, CAME), root mean squares (those and StableAdamW).
#pragma once
#include "core/cpu_target.h"
#include "core/dtype.h"

namespace noisewright {

constexpr int kMaxTensorStates = 5;
constexpr int kTensorConstants = 12;

// The numbers of the rules (k), computed in double precision and rounded once, and their states; a factored tensor
// keeps sums over rows and columns, any other one number for each element in place of the first and no second.
//
// AdaFactor (Shazeer and Stern, 2018): k = beta2, 1 - beta2, eps1, eps2, rate, 1 to scale it by the parameter's size,
//   clip threshold, beta1, 1 - beta1, weight decay; states: rows, columns, first moment or null
// CAME (Luo et al., 2023): k = beta2, 1 - beta2, eps1, eps2, lr, clip threshold, beta1, 1 - beta1, weight decay, beta3,
//   1 - beta3; states: rows, columns, first moment, rows and columns of its squared error
// StableAdamW (Wortsman et al., 2023): k = debiased beta1, 1 - it, debiased beta2, 1 - it, lr, eps, eps^2, weight
// decay;
//   states: m, v
enum class TensorRule { kAdaFactor, kCame, kStableAdamW };

struct TensorRuleInfo {
  const char* name;
  int states;
};
constexpr TensorRuleInfo kTensorRules[] = {{"adaFactor", 3}, {"came", 5}, {"stableAdamW", 2}};

struct TensorStepEntry {
  void* param;  // of any float type
  const float* gradient;
  void* copy;  // null, or where the new parameter is also stored
  float* state[kMaxTensorStates];
  float* rate;  // null, or where the rate that the step came to is stored
  int64_t count;
  uint64_t stream;  // of the random numbers of stochastic rounding
  DType dtype, copy_dtype;
  // Factored: the tensor as [outer, rows, columns, inner], with sums over columns and over rows; outer = 0: not
  // factored.
  int64_t outer, rows, columns, inner;
  int64_t block_rows;  // of a block
  // Numbers of blocks, floats of partial sums and floats of mean sums of all entries before this one.
  int64_t first_block, first_partial, first_mean;
  float k[kTensorConstants];

  constexpr int64_t width() const { return columns * inner; }
  constexpr int64_t blocks_of_sheet() const { return (rows + block_rows - 1) / block_rows; }
};

// Of 16-bit parameters.
struct HalfRounding {
  uint64_t seed;
  bool stochastic_rounding;  // otherwise to nearest
};

struct TensorStepParams {
  const TensorStepEntry* entries;  // one more at the end, whose first_* are the totals
  int64_t entry_count;
  const float* clip;  // null, or [norm, coefficient] of gradient_norm: gradients are scaled by it; not finite: nothing
                      // is changed
  TensorRule rule;
  HalfRounding rounding;
};

constexpr int64_t kTensorBlock = 16384;    // elements of a block of a tensor that is not factored
constexpr int64_t kTensorMostRows = 512;   // of a block of a factored one
constexpr int64_t kTensorBatch = 1 << 21;  // elements whose passes follow each other, while caches hold them

CPU_KERNEL(tensor_step, TensorStepParams)
namespace cuda {
void tensor_step(const TensorStepParams&);
}

}  // namespace noisewright

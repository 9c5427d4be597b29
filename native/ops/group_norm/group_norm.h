// Group normalisation over channels-last x [n, pixels, c], optionally followed by silu. A group is c / groups
// consecutive channels:
//   xhat = (x - mean) rstd,  z = weight xhat + bias,  y = z or z s(z), s the logistic function (Wu and He, "Group
//   Normalization", 2018).
// mean and rstd are float32 [n, groups].
#pragma once
#include "core/cpu_target.h"
#include "core/dtype.h"

namespace noisewright {

struct GroupNormParams {
  const void* x;
  const void* weight;
  const void* bias;
  void* y;
  float* mean;
  float* rstd;
  int64_t n, pixels, c, groups;
  float eps;
  bool silu;
  DType dtype;  // of x and y
  DType weight_dtype, bias_dtype;
};

// dx = rstd (weight dz - A - xhat B) with A and B the means over the group of weight dz and weight dz xhat;
// dweight = sum of dz xhat and dbias = sum of dz over n and pixels, float32. Null outputs are not computed.
struct GroupNormBackwardParams {
  const void* dy;
  const void* x;
  const void* weight;
  const void* bias;
  const float* mean;
  const float* rstd;
  void* dx;
  float* dweight;
  float* dbias;
  int64_t n, pixels, c, groups;
  bool silu;
  DType dtype;
  DType weight_dtype, bias_dtype;
};

// The two halves of the forward pass, for callers that normalise a tensor piece by piece. What becomes of each channel
// of a sample stands in three rows of group_norm_row_length(c) floats, mean, factor and offset: z = (x - mean) factor +
// offset.
constexpr int64_t group_norm_row_length(int64_t c) { return (c + 15) / 16 * 16; }

struct GroupNormStatisticsParams {
  GroupNormParams norm;  // of one sample; y and silu are not used
  float* rows;
};

struct GroupNormApplyParams {
  const void* x;      // [pixels, c]
  const float* rows;  // from group_norm_statistics
  void* y;
  int64_t pixels, c;
  bool silu;
  DType dtype;
  DType y_dtype;  // that of x, or float32
};

CPU_KERNEL(group_norm_forward, GroupNormParams)
CPU_KERNEL(group_norm_statistics, GroupNormStatisticsParams)
CPU_KERNEL(group_norm_apply, GroupNormApplyParams)
CPU_KERNEL(group_norm_backward, GroupNormBackwardParams)
namespace cuda {
void group_norm_forward(const GroupNormParams&);
void group_norm_statistics(const GroupNormStatisticsParams&);
void group_norm_apply(const GroupNormApplyParams&);
void group_norm_backward(const GroupNormBackwardParams&);
}  // namespace cuda

}  // namespace noisewright

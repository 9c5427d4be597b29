// Layer normalisation of the rows of x [rows, c]: xhat = (x - mean) rstd, y = weight xhat + bias (Ba et al., "Layer
// Normalization", 2016). mean and rstd are float32 [rows].
#pragma once
#include "core/cpu_target.h"
#include "core/dtype.h"

namespace noisewright {

struct LayerNormParams {
  const void* x;
  const void* weight;
  const void* bias;
  void* y;
  float* mean;
  float* rstd;
  int64_t rows, c;
  float eps;
  DType dtype;  // of x and y
  DType weight_dtype, bias_dtype;
};

// dx = rstd (weight dy - A - xhat B) with A and B the means over the row of weight dy and weight dy xhat;
// dweight = sum of dy xhat and dbias = sum of dy over the rows, float32. Null outputs are not computed.
struct LayerNormBackwardParams {
  const void* dy;
  const void* x;
  const void* weight;
  const float* mean;
  const float* rstd;
  void* dx;
  float* dweight;
  float* dbias;
  int64_t rows, c;
  DType dtype;
  DType weight_dtype;
};

CPU_KERNEL(layer_norm_forward, LayerNormParams)
CPU_KERNEL(layer_norm_backward, LayerNormBackwardParams)
namespace cuda {
void layer_norm_forward(const LayerNormParams&);
void layer_norm_backward(const LayerNormBackwardParams&);
}  // namespace cuda

}  // namespace noisewright

// y = activation(x weightT + bias + z lora_upT) + residual with z = lora_scale x lora_downT.
#pragma once
#include "core/cpu_target.h"
#include "core/dtype.h"
#include "ops/matmul/activation.h"

namespace noisewright {

struct LinearParams {
  const void* x;          // [rows, in]
  const void* weight;     // [out, in]
  const void* bias;       // [out] or null
  const void* residual;   // [rows, out] or null
  const void* lora_down;  // [rank, in] or null
  const void* lora_up;    // [out, rank]
  void* y;                // [rows, out]
  float* z;               // [rows, rank]; null: not wanted
  void* pre;              // [rows, out], the activation's argument; null: not wanted
  int64_t rows, in, out, rank;
  DType dtype;  // of x, residual, y, pre
  DType weight_dtype, bias_dtype, down_dtype, up_dtype;
  Activation activation;
  float lora_scale;
};

// Outputs that are null are not wanted.
struct LinearBackwardParams {
  const void* dy;
  const void* x;
  const void* weight;
  const void* lora_down;
  const void* lora_up;
  const float* z;  // null: computed again where it is needed
  const void* pre;
  void* dx;
  float* dweight;
  float* dbias;
  float* ddown;
  float* dup;
  int64_t rows, in, out, rank;
  DType dtype;  // of dy, x, pre, dx
  DType weight_dtype, down_dtype, up_dtype;
  Activation activation;
  float lora_scale;
};

CPU_KERNEL_BF16(linear_forward, LinearParams)
CPU_KERNEL_BF16(linear_backward, LinearBackwardParams)

namespace cuda {
void linear_forward(const LinearParams& p);
void linear_backward(const LinearBackwardParams& p);
}  // namespace cuda

}  // namespace noisewright

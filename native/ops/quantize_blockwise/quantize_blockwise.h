// Block-wise 8-bit storage of a tensor (core/quantization.h): codes in its shape and one float32 scale for every 256
// elements.
#pragma once
#include "core/cpu_target.h"
#include "core/dtype.h"
#include "core/quantization.h"

namespace noisewright {

struct QuantizeBlockwiseParams {
  const void* x;   // [count], quantize
  uint8_t* codes;  // [count]
  float* absmax;   // [ceil(count / 256)]
  float* y;        // [count], dequantize
  int64_t count;
  const QuantizationMap* map;
  DType dtype;  // of x
};

CPU_KERNEL(quantize_blockwise, QuantizeBlockwiseParams)
CPU_KERNEL(dequantize_blockwise, QuantizeBlockwiseParams)
namespace cuda {
void quantize_blockwise(const QuantizeBlockwiseParams&);
void dequantize_blockwise(const QuantizeBlockwiseParams&);
}  // namespace cuda

}  // namespace noisewright

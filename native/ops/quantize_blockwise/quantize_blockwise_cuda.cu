// Memory bound: a thread block takes a block of 256 elements. The tables come from the first cache.
#include "ops/quantize_blockwise/quantize_blockwise_cuda.h"

#include "cuda/gpu.h"
#include "cuda/quantization.cuh"
#include "cuda/reduce.cuh"
#include "ops/quantize_blockwise/quantize_blockwise.h"

namespace noisewright::cuda {

namespace {

template <class T>
__device__ inline void quantize(const QuantizeBlockwiseParams& p, const QuantizeTables* tables) {
  SHARED(float, part, [gpu::kWarpSize]);
  const int64_t i = int64_t{blockIdx.x} * kQuantizeThreads + threadIdx.x;
  const float x = i < p.count ? gpu::load(static_cast<const T*>(p.x) + i) : 0.0f;
  const float absmax = gpu::reduce_block<gpu::Max>(fabsf(x), part);
  if (threadIdx.x == 0) p.absmax[blockIdx.x] = absmax;
  if (i >= p.count) return;
  if (absmax == 0.0f)
    p.codes[i] = static_cast<uint8_t>(tables->zero);
  else if (tables->zero == 0)
    p.codes[i] = static_cast<uint8_t>(gpu::magnitude_code(tables->midpoint, fabsf(x / absmax)));
  else
    p.codes[i] = gpu::signed_code<false>(tables->midpoint, x / absmax);
}

__device__ inline void dequantize(const QuantizeBlockwiseParams& p, const QuantizeTables* tables) {
  const int64_t i = int64_t{blockIdx.x} * kQuantizeThreads + threadIdx.x;
  if (i < p.count) p.y[i] = tables->value[p.codes[i]] * p.absmax[blockIdx.x];
}

}  // namespace

#define QUANTIZE_KERNEL(name, call)                                   \
  extern "C" __global__ void __launch_bounds__(kQuantizeThreads)      \
      name(QuantizeBlockwiseParams p, const QuantizeTables* tables) { \
    call;                                                             \
  }                                                                   \
  KERNEL(name)

QUANTIZE_KERNEL(quantize_f32_kernel, quantize<float>(p, tables));
QUANTIZE_KERNEL(quantize_bf16_kernel, quantize<bfloat16>(p, tables));
QUANTIZE_KERNEL(quantize_f16_kernel, quantize<float16>(p, tables));
QUANTIZE_KERNEL(dequantize_kernel, dequantize(p, tables));

}  // namespace noisewright::cuda

// Memory bound. Forward: a thread sums its 16 elements in float32, everything beyond that is float64: a block its
// chunk, a single block all chunks. Backward: one pass. The formulas are those of the CPU kernel; which loss is asked
// for is the same for all threads.
#include "ops/element_loss/element_loss_cuda.h"

#include "cuda/elementwise.cuh"
#include "cuda/reduce.cuh"
#include "ops/element_loss/element_loss.h"

namespace noisewright::cuda {

namespace {

// The loss of a difference is the product of the two.
struct Factors {
  float a, b;
};

__device__ inline Factors loss_of(ElementLoss kind, float d, float c) {
  if (kind == ElementLoss::kL2) return {d, d};
  if (kind == ElementLoss::kL1) return {1.0f, fabsf(d)};
  const float root = sqrtf(fmaf(d, d, c * c));
  return {kind == ElementLoss::kHuber ? 2.0f * c : 2.0f, d * d / (root + c)};
}

// Half of the derivative of the loss by d. What is not a number stays so.
__device__ inline float half_slope(ElementLoss kind, float d, float c) {
  if (kind == ElementLoss::kL2) return d;
  if (kind == ElementLoss::kL1) return fmaf(d, 0.0f, d < 0.0f ? -0.5f : d > 0.0f ? 0.5f : 0.0f);
  const float slope = d / sqrtf(fmaf(d, d, c * c));
  return kind == ElementLoss::kHuber ? c * slope : slope;
}

// Calls body(start, count, differences, masks) for the runs of eight of this thread; start counts from the batch's
// first element.
template <class T, class U, class Body>
__device__ inline void for_runs(const ElementLossParams& p, const ElementLossScratch& s, int64_t sample, Body body) {
  const int64_t chunk = blockIdx.x - sample * s.chunks;
  for (int run = 0; run < kLossPerThread / 8; run++) {
    const int64_t in_sample = chunk * kLossChunk + (run * kLossThreads + int64_t{threadIdx.x}) * 8;
    const int64_t left = p.size - in_sample, start = sample * p.size + in_sample;
    if (left <= 0) return;
    gpu::Eight d = gpu::load_eight(static_cast<const T*>(p.prediction) + start, s.wide, left);
    const gpu::Eight target = gpu::load_eight(static_cast<const U*>(p.target) + start, s.wide, left);
    gpu::Eight mask;
    for (int k = 0; k < 8; k++) {
      d.v[k] = d.v[k] - target.v[k];
      mask.v[k] = p.mask && k < left ? p.mask[gpu::divide(start + k, p.channels).quotient] : 1.0f;
    }
    body(start, left, d, mask);
  }
}

template <class T, class U>
__device__ inline void element_loss(const ElementLossParams& p, const ElementLossScratch& s) {
  SHARED(double, part, [gpu::kWarpSize]);
  const int64_t sample = gpu::divide(blockIdx.x, s.chunks).quotient;
  const float threshold = p.thresholds ? p.thresholds[sample] : 0.0f;
  float sum = 0.0f;
  for_runs<T, U>(p, s, sample, [&](int64_t, int64_t left, const gpu::Eight& d, const gpu::Eight& mask) {
    for (int k = 0; k < 8 && k < left; k++) {
      const Factors loss = loss_of(p.kind, d.v[k], threshold);
      sum = fmaf(mask.v[k] * loss.a, loss.b, sum);
    }
  });
  const double total = gpu::reduce_block<gpu::Sum>(static_cast<double>(sum), part);
  if (threadIdx.x == 0) s.sums[blockIdx.x] = total;
}

__device__ inline void element_loss_join(const ElementLossParams& p, const ElementLossScratch& s) {
  SHARED(double, part, [gpu::kWarpSize]);
  double sum = 0.0;
  for (int64_t i = threadIdx.x; i < p.samples * s.chunks; i += kLossThreads)
    sum += s.sums[i] * static_cast<double>(p.weights ? p.weights[gpu::divide(i, s.chunks).quotient] : 1.0f);
  const double total = gpu::reduce_block<gpu::Sum>(sum, part);
  if (threadIdx.x == 0) *p.loss = static_cast<float>(total / static_cast<double>(p.samples * p.size));
}

template <class T, class U>
__device__ inline void element_loss_backward(const ElementLossParams& p, const ElementLossScratch& s) {
  const int64_t sample = gpu::divide(blockIdx.x, s.chunks).quotient;
  const double scale = 2.0 * static_cast<double>(*p.dloss) / static_cast<double>(p.samples * p.size);
  const float threshold = p.thresholds ? p.thresholds[sample] : 0.0f;
  const auto factor = static_cast<float>(scale * static_cast<double>(p.weights ? p.weights[sample] : 1.0f));
  for_runs<T, U>(p, s, sample, [&](int64_t start, int64_t left, const gpu::Eight& d, const gpu::Eight& mask) {
    gpu::Eight gradient;
    for (int k = 0; k < 8; k++) gradient.v[k] = factor * (mask.v[k] * half_slope(p.kind, d.v[k], threshold));
    gpu::store_eight(static_cast<T*>(p.dprediction) + start, gradient, s.wide, left);
  });
}

}  // namespace

// Two blocks at least: without a number nvcc spills on sm_100 to make room for more.
#define LOSS_KERNELS(types, T, U)                                                         \
  extern "C" __global__ void __launch_bounds__(kLossThreads, 2)                           \
      element_loss_##types##_kernel(ElementLossParams p, ElementLossScratch s) {          \
    element_loss<T, U>(p, s);                                                             \
  }                                                                                       \
  KERNEL(element_loss_##types##_kernel);                                                  \
  extern "C" __global__ void __launch_bounds__(kLossThreads, 2)                           \
      element_loss_backward_##types##_kernel(ElementLossParams p, ElementLossScratch s) { \
    element_loss_backward<T, U>(p, s);                                                    \
  }                                                                                       \
  KERNEL(element_loss_backward_##types##_kernel)

LOSS_KERNELS(f32_f32, float, float);
LOSS_KERNELS(f32_bf16, float, bfloat16);
LOSS_KERNELS(f32_f16, float, float16);
LOSS_KERNELS(bf16_f32, bfloat16, float);
LOSS_KERNELS(bf16_bf16, bfloat16, bfloat16);
LOSS_KERNELS(bf16_f16, bfloat16, float16);
LOSS_KERNELS(f16_f32, float16, float);
LOSS_KERNELS(f16_bf16, float16, bfloat16);
LOSS_KERNELS(f16_f16, float16, float16);

extern "C" __global__ void __launch_bounds__(kLossThreads, 2)
    element_loss_join_kernel(ElementLossParams p, ElementLossScratch s) {
  element_loss_join(p, s);
}
KERNEL(element_loss_join_kernel);

}  // namespace noisewright::cuda

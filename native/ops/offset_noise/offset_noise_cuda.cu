// Two short passes, as on the CPU: the shift s z of every sample and channel, a thread block for each; then one
// addition for each element.
#include "cuda/elementwise.cuh"
#include "cuda/reduce.cuh"
#include "ops/offset_noise/offset_noise.h"

namespace noisewright::cuda {

namespace {

__device__ inline float normal_at(const PhiloxStream& stream, int64_t i) {
  const PhiloxBlock block = philox_block(stream, static_cast<uint64_t>(i / 4));
  const bool later = i % 4 >= 2;  // not an index, which would keep the block in memory
  float first, second;
  normals_of(later ? block.v[2] : block.v[0], later ? block.v[3] : block.v[1], &first, &second);
  return i % 2 ? second : first;
}

// shift [samples, channels].
__device__ inline void offset_shift(const OffsetNoiseParams& p, float* shift) {
  SHARED(double, part, [gpu::kWarpSize]);
  const gpu::Division at = gpu::divide(blockIdx.x, p.channels);
  float strength = p.offset;
  if (p.adaptive_scale != 0.0f) {
    const int64_t first = at.quotient * p.pixels * p.channels + at.remainder;
    double sum = 0.0;
    for (int64_t pixel = threadIdx.x; pixel < p.pixels; pixel += kElementThreads)
      sum += static_cast<double>(gpu::load_any(p.latents, p.latents_dtype, first + pixel * p.channels));
    const double mean = gpu::reduce_block<gpu::Sum>(sum, part) / static_cast<double>(p.pixels);
    strength += p.adaptive_scale * static_cast<float>(fabs(mean));
    if (strength < 0.0f) strength = 0.0f;
  }
  if (threadIdx.x == 0) shift[blockIdx.x] = strength * normal_at(p.stream, blockIdx.x);
}

template <class T>
__device__ inline void offset_noise(const OffsetNoiseParams& p, const float* shift, bool wide) {
  const int64_t i = gpu::first_element(), left = p.samples * p.pixels * p.channels - i;
  if (left <= 0) return;
  gpu::Eight x = gpu::load_eight(static_cast<const T*>(p.noise) + i, wide, left);
  for (int k = 0; k < 8 && k < left; k++) {
    const gpu::Division pixel = gpu::divide(i + k, p.channels);
    const int64_t sample = gpu::divide(pixel.quotient, p.pixels).quotient;
    x.v[k] = x.v[k] + shift[sample * p.channels + pixel.remainder];
  }
  gpu::store_eight(static_cast<T*>(p.y) + i, x, wide, left);
}

}  // namespace

extern "C" __global__ void __launch_bounds__(kElementThreads) offset_shift_kernel(OffsetNoiseParams p, float* shift) {
  offset_shift(p, shift);
}
KERNEL(offset_shift_kernel);

#define OFFSET_NOISE_KERNEL(type, T)                                                     \
  extern "C" __global__ void __launch_bounds__(kElementThreads)                          \
      offset_noise_##type##_kernel(OffsetNoiseParams p, const float* shift, bool wide) { \
    offset_noise<T>(p, shift, wide);                                                     \
  }                                                                                      \
  KERNEL(offset_noise_##type##_kernel)

OFFSET_NOISE_KERNEL(f32, float);
OFFSET_NOISE_KERNEL(bf16, bfloat16);
OFFSET_NOISE_KERNEL(f16, float16);

}  // namespace noisewright::cuda

// A single block looks at the products, a thread at each; then every factor's blocks scale it, where they must.
#include "ops/limit_norms/limit_norms_cuda.h"

#include "cuda/elementwise.cuh"
#include "cuda/reduce.cuh"

namespace noisewright::cuda {

namespace {

// The larger one, or NaN. Norms are not negative.
struct LargestNorm {
  template <class T>
  __device__ static T join(T a, T b) {
    return a != a || a > b ? a : b;
  }
  __device__ static float nothing() { return 0.0f; }
};

__device__ inline void judge(const LimitNormsParams& p, const LimitNormsTables& t) {
  SHARED(double, part, [gpu::kWarpSize]);
  double sum = 0.0, largest = 0.0, scaled = 0.0;
  for (int64_t i = threadIdx.x; i < p.product_count; i += kLimitThreads) {
    const LimitNormsProduct& product = t.products[i];
    // Rounding can leave the square of nothing below zero.
    const double square = static_cast<double>(*product.square);
    const double norm = product.scale * (square < 0.0 ? 0.0 : sqrt(square));
    const bool too_large = norm > p.max_norm;  // false for NaN, which no factor mends
    const double after = too_large ? p.max_norm : norm;
    sum += after;
    largest = LargestNorm::join(largest, after);
    scaled += too_large ? 1.0 : 0.0;
    const double root = 1.0 / static_cast<double>(product.factor_count);
    t.scales[i] = too_large ? static_cast<float>(pow(p.max_norm / norm, root)) : 1.0f;
  }
  sum = gpu::reduce_block<gpu::Sum>(sum, part);
  largest = gpu::reduce_block<LargestNorm>(largest, part);
  scaled = gpu::reduce_block<gpu::Sum>(scaled, part);
  if (threadIdx.x != 0) return;
  p.y[0] = static_cast<float>(scaled);
  p.y[1] = static_cast<float>(sum / static_cast<double>(p.product_count));
  p.y[2] = static_cast<float>(largest);
}

__device__ inline void scale_part(const LimitNormsTables& t) {
  const LimitNormsPart& part = t.parts[blockIdx.y];
  const float scale = t.scales[part.product];
  const int64_t i = blockIdx.x * kLimitBlock + threadIdx.x * 8, left = part.count - i;
  if (scale == 1.0f || left <= 0) return;
  const bool wide = reinterpret_cast<uintptr_t>(part.x) % 16 == 0;
  gpu::Eight x = gpu::load_eight(part.x + i, wide, left);
  for (float& value : x.v) value = value * scale;
  gpu::store_eight(part.x + i, x, wide, left);
}

}  // namespace

extern "C" __global__ void __launch_bounds__(kLimitThreads)
    limit_norms_judge_kernel(LimitNormsParams p, LimitNormsTables t) {
  judge(p, t);
}
KERNEL(limit_norms_judge_kernel);
extern "C" __global__ void __launch_bounds__(kLimitThreads) limit_norms_scale_kernel(LimitNormsTables t) {
  scale_part(t);
}
KERNEL(limit_norms_scale_kernel);

}  // namespace noisewright::cuda

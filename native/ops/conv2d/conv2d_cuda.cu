// For an input enlarged to twice its size each stored pixel stands for a square of four, and a tap sees the sum of the
// gradients of such a square: these sums. Bound by reading dy and writing as much (arithmetic, not measured on a GPU).
#include "ops/conv2d/conv2d_cuda.h"

#include "cuda/gpu.h"

namespace noisewright::cuda {

namespace {

template <class T>
__device__ inline void square_sums(const SquareSums& s) {
  const int64_t i = int64_t{blockIdx.x} * kSquareThreads + threadIdx.x;
  if (i >= s.count) return;
  const int64_t pixel = i / s.c, line = pixel / (s.w + 1), image = line / (s.h + 1);
  const auto y = static_cast<int32_t>(line % (s.h + 1)), x = static_cast<int32_t>(pixel % (s.w + 1));
  float sum = 0;
  for (int k = 0; k < 4; k++) {
    const int32_t ky = y - 1 + k / 2, kx = x - 1 + k % 2;
    if (ky < 0 || ky >= s.h || kx < 0 || kx >= s.w) continue;
    sum = sum + gpu::load(static_cast<const T*>(s.dy) + ((image * s.h + ky) * s.w + kx) * s.c + i % s.c);
  }
  gpu::store(static_cast<T*>(s.to) + i, sum);
}

}  // namespace

#define SQUARE_KERNEL(type, T)                                                                                    \
  extern "C" __global__ void __launch_bounds__(kSquareThreads) conv2d_square_sums_##type##_kernel(SquareSums s) { \
    square_sums<T>(s);                                                                                            \
  }                                                                                                               \
  KERNEL(conv2d_square_sums_##type##_kernel)

SQUARE_KERNEL(f32, float);
SQUARE_KERNEL(bf16, bfloat16);
SQUARE_KERNEL(f16, float16);

}  // namespace noisewright::cuda

// A thread makes one pixel.
#include "cuda/elementwise.cuh"
#include "ops/image_to_tensor/image_to_tensor.h"

namespace noisewright::cuda {

namespace {

__device__ inline void image_pixel(const ImageToTensorParams& p) {
  const int64_t i = int64_t{blockIdx.x} * kElementThreads + threadIdx.x;
  const gpu::Division at = gpu::divide(i, p.width);
  if (at.quotient >= p.height) return;
  const int64_t column = p.flip ? p.width - 1 - at.remainder : at.remainder;
  const uint8_t* x = p.x + ((p.top + at.quotient) * p.in_width + p.left + column) * 3;
  for (int c = 0; c < 3; c++) p.y[i * 3 + c] = static_cast<float>(x[c]) / 127.5f - 1.0f;
}

}  // namespace

extern "C" __global__ void __launch_bounds__(kElementThreads) image_to_tensor_kernel(ImageToTensorParams p) {
  image_pixel(p);
}
KERNEL(image_to_tensor_kernel);

}  // namespace noisewright::cuda

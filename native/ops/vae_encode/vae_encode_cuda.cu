// A thread converts eight neighbours.
#include "cuda/elementwise.cuh"
#include "ops/vae_encode/vae_encode.h"

namespace noisewright::cuda {

namespace {

template <class T>
__device__ inline void vae_pixels(const VaePixelsParams& p, bool wide) {
  const int64_t i = gpu::first_element(), left = p.count - i;
  if (left <= 0) return;
  gpu::Eight x{};
  if (p.dtype == DType::kFloat32) {
    x = gpu::load_eight(static_cast<const float*>(p.x) + i, wide, left);
  } else {
    const auto* bytes = static_cast<const uint8_t*>(p.x) + i;
    for (int k = 0; k < 8; k++)
      if (k < left) x.v[k] = static_cast<float>(bytes[k]) / 127.5f - 1.0f;
  }
  gpu::store_eight(static_cast<T*>(p.y) + i, x, wide, left);
}

}  // namespace

FLOAT_KERNELS(vae_pixels, VaePixelsParams);

}  // namespace noisewright::cuda

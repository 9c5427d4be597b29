#include "cuda/elementwise.cuh"
#include "ops/scale/scale.h"

namespace noisewright::cuda {

namespace {

template <class T>
__device__ inline void scale(const ScaleParams& p, bool wide) {
  const int64_t i = gpu::first_element(), left = p.count - i;
  if (left <= 0) return;
  gpu::Eight x = gpu::load_eight(static_cast<const T*>(p.x) + i, wide, left);
  for (float& value : x.v) value = p.factor * value;
  gpu::store_eight(static_cast<T*>(p.y) + i, x, wide, left);
}

}  // namespace

FLOAT_KERNELS(scale, ScaleParams);

}  // namespace noisewright::cuda

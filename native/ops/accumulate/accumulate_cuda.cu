#include "cuda/elementwise.cuh"
#include "ops/accumulate/accumulate.h"

namespace noisewright::cuda {

namespace {

template <class T, class U>
__device__ inline void accumulate(const AccumulateParams& p, bool wide) {
  const int64_t i = gpu::first_element(), left = p.count - i;
  if (left <= 0) return;
  T* y = static_cast<T*>(p.y) + i;
  gpu::Eight x = gpu::load_eight(static_cast<const U*>(p.x) + i, wide, left);
  if (p.op == InPlaceOp::kAdd) {
    const gpu::Eight before = gpu::load_eight(y, wide, left);
    for (int k = 0; k < 8; k++) x.v[k] = before.v[k] + x.v[k];
  }
  gpu::store_eight(y, x, wide, left);
}

template <class T>
__device__ inline void scale_in_place(const AccumulateParams& p, bool wide) {
  const int64_t i = gpu::first_element(), left = p.count - i;
  if (left <= 0) return;
  T* y = static_cast<T*>(p.y) + i;
  gpu::Eight x{};
  if (p.factor != 0.0f) {
    x = gpu::load_eight(y, wide, left);
    for (float& value : x.v) value = value * p.factor;
  }
  gpu::store_eight(y, x, wide, left);
}

}  // namespace

FLOAT_PAIR_KERNELS(accumulate, AccumulateParams);
FLOAT_KERNELS(scale_in_place, AccumulateParams);

}  // namespace noisewright::cuda

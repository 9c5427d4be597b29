// Bound by the generator: two Philox blocks for the eight elements of a thread.
#include "cuda/elementwise.cuh"
#include "ops/dropout/dropout.h"

namespace noisewright::cuda {

namespace {

template <class T>
__device__ inline void dropout(const DropoutParams& p, bool wide) {
  const int64_t i = gpu::first_element(), left = p.count - i;
  if (left <= 0) return;
  gpu::Eight x = gpu::load_eight(static_cast<const T*>(p.x) + i, wide, left);
  for (int half = 0; half < 2; half++) {
    const PhiloxBlock block = philox_block(p.stream, static_cast<uint64_t>(i / 4 + half));
    // A kept infinity stays; a dropped one must not become NaN.
    for (int k = 0; k < 4; k++)
      x.v[4 * half + k] = (block.v[k] >> 8) >= p.threshold ? x.v[4 * half + k] * p.factor : 0.0f;
  }
  gpu::store_eight(static_cast<T*>(p.y) + i, x, wide, left);
}

}  // namespace

FLOAT_KERNELS(dropout, DropoutParams);

}  // namespace noisewright::cuda

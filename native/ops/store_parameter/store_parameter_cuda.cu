// Without taps a thread converts eight neighbours. With them a thread takes one channel of one row and all its taps:
// reads are neighbours of other threads' reads, writes its own run of the file's layout.
#include "cuda/elementwise.cuh"
#include "ops/store_parameter/store_parameter.h"

namespace noisewright::cuda {

namespace {

template <class From, class To>
__device__ inline void store_flat(const StoreParameterParams& p, bool wide) {
  const int64_t i = gpu::first_element(), left = p.rows * p.channels - i;
  if (left <= 0) return;
  const gpu::Eight x = gpu::load_eight(static_cast<const From*>(p.x) + i, wide, left);
  gpu::store_eight(static_cast<To*>(p.y) + i, x, wide, left);
}

template <class From, class To>
__device__ inline void store_taps(const StoreParameterParams& p, bool) {
  const gpu::Division at = gpu::divide(int64_t{blockIdx.x} * kElementThreads + threadIdx.x, p.channels);
  if (at.quotient >= p.rows) return;
  const int64_t row = at.quotient * p.taps * p.channels;
  const From* x = static_cast<const From*>(p.x) + row + at.remainder;
  To* y = static_cast<To*>(p.y) + row + at.remainder * p.taps;
  for (int64_t tap = 0; tap < p.taps; tap++) gpu::store(y + tap, gpu::load(x + tap * p.channels));
}

}  // namespace

FLOAT_PAIR_KERNELS(store_flat, StoreParameterParams);
FLOAT_PAIR_KERNELS(store_taps, StoreParameterParams);

}  // namespace noisewright::cuda

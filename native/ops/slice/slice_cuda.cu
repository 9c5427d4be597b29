// A thread writes one unit of dx, as wide as sizes and addresses allow: dy's or zero.
#include "ops/slice/slice_cuda.h"

#include "cuda/elementwise.cuh"
#include "ops/slice/slice.h"

namespace noisewright::cuda {

namespace {

// Sizes count units.
template <class Unit>
__device__ inline void pad(const PadParams& p) {
  const int64_t i = int64_t{blockIdx.x} * kPadThreads + threadIdx.x, row = p.before + p.middle + p.after;
  const gpu::Division at = gpu::divide(i, row);
  if (at.quotient >= p.outer) return;
  const int64_t column = at.remainder - p.before;
  const bool inside = column >= 0 && column < p.middle;
  static_cast<Unit*>(p.dx)[i] = inside ? static_cast<const Unit*>(p.dy)[at.quotient * p.middle + column] : Unit{};
}

}  // namespace

#define PAD_KERNEL(bytes, Unit)                                                                                       \
  extern "C" __global__ void __launch_bounds__(kPadThreads) slice_pad_##bytes##_kernel(PadParams p) { pad<Unit>(p); } \
  KERNEL(slice_pad_##bytes##_kernel)

PAD_KERNEL(1, uint8_t);
PAD_KERNEL(2, uint16_t);
PAD_KERNEL(4, uint32_t);
PAD_KERNEL(8, uint64_t);
PAD_KERNEL(16, gpu::SixteenBytes);

}  // namespace noisewright::cuda

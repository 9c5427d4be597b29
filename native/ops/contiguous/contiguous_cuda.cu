// A thread moves one unit, as wide as strides and addresses allow; neighbours in y are neighbouring threads. Where x is
// contiguous along another axis, tiles of 32 x 32 units change places in shared memory, so that both sides are read and
// written in whole lines.
#include "ops/contiguous/contiguous_cuda.h"

#include "cuda/elementwise.cuh"

namespace noisewright::cuda {

namespace {

struct Place {
  int64_t x, y;
};

// Offsets of position `index` among the axes [0, axes), but for `skip`, which stays at 0.
__device__ inline Place place_of(const CopyUnits& p, int64_t index, int axes, int skip) {
  Place at{0, 0};
  for (int axis = axes - 1; axis >= 0; axis--) {
    if (axis == skip || p.shape[axis] == 1) continue;
    const gpu::Division d = gpu::divide(index, p.shape[axis]);
    at.x += d.remainder * p.x_strides[axis];
    at.y += d.remainder * p.y_strides[axis];
    index = d.quotient;
  }
  return at;
}

template <class Unit>
__device__ inline void copy_units(const CopyUnits& p) {
  const int64_t i = int64_t{blockIdx.x} * kCopyThreads + threadIdx.x;
  if (i >= p.count) return;
  const Place at = place_of(p, i, 6, -1);
  static_cast<Unit*>(p.y)[at.y] = static_cast<const Unit*>(p.x)[at.x];
}

template <class Unit>
__device__ inline void copy_tiles(const CopyUnits& p) {
  SHARED(Unit, tile, [kCopyTile][kCopyTile + 1]);  // an odd row length: columns lie in different banks
  const int64_t rows = p.shape[p.axis], columns = p.shape[5];
  const gpu::Division by_row = gpu::divide(blockIdx.x, p.column_tiles),
                      outer = gpu::divide(by_row.quotient, p.row_tiles);
  const int64_t r0 = outer.remainder * kCopyTile, c0 = by_row.remainder * kCopyTile;
  const Place at = place_of(p, outer.quotient, 5, p.axis);
  const Unit* x = static_cast<const Unit*>(p.x) + at.x;
  Unit* y = static_cast<Unit*>(p.y) + at.y;
  const int lane = static_cast<int>(threadIdx.x % kCopyTile), first = static_cast<int>(threadIdx.x / kCopyTile);
  constexpr int kStep = kCopyThreads / kCopyTile;
  for (int k = first; k < kCopyTile; k += kStep)
    if (r0 + lane < rows && c0 + k < columns) tile[k][lane] = x[r0 + lane + (c0 + k) * p.x_strides[5]];
  __syncthreads();
  for (int k = first; k < kCopyTile; k += kStep)
    if (r0 + k < rows && c0 + lane < columns) y[(r0 + k) * p.y_strides[p.axis] + c0 + lane] = tile[lane][k];
}

}  // namespace

#define COPY_KERNELS(bytes, Unit)                                                                       \
  extern "C" __global__ void __launch_bounds__(kCopyThreads) copy_units_##bytes##_kernel(CopyUnits p) { \
    copy_units<Unit>(p);                                                                                \
  }                                                                                                     \
  KERNEL(copy_units_##bytes##_kernel)
#define TILE_KERNELS(bytes, Unit)                                                                       \
  extern "C" __global__ void __launch_bounds__(kCopyThreads) copy_tiles_##bytes##_kernel(CopyUnits p) { \
    copy_tiles<Unit>(p);                                                                                \
  }                                                                                                     \
  KERNEL(copy_tiles_##bytes##_kernel)

COPY_KERNELS(1, uint8_t);
COPY_KERNELS(2, uint16_t);
COPY_KERNELS(4, uint32_t);
COPY_KERNELS(8, uint64_t);
COPY_KERNELS(16, gpu::SixteenBytes);
TILE_KERNELS(1, uint8_t);
TILE_KERNELS(2, uint16_t);
TILE_KERNELS(4, uint32_t);
TILE_KERNELS(8, uint64_t);

}  // namespace noisewright::cuda

// Forward: a thread block copies the row of one position. Backward: a thread block sums the gradient of one row of the
// table. Its warps look for the row's id among 32 positions at a time and add what they find in the order of positions,
// so that every sum is that of the CPU kernel, bit by bit, and the table is written once.
#include "ops/embedding/embedding_cuda.h"

#include "cuda/elementwise.cuh"
#include "ops/embedding/embedding.h"

namespace noisewright::cuda {

namespace {

template <class Unit>
struct NotANumber {
  __device__ static Unit value() { return static_cast<Unit>(~Unit{0}); }
};
template <>
struct NotANumber<gpu::SixteenBytes> {
  __device__ static gpu::SixteenBytes value() { return {{~0u, ~0u, ~0u, ~0u}}; }
};

// Rows of `units` units. The row of an id that the table does not have is NaN (all bits set, in each float type): the
// host does not wait to look at ids.
template <class Unit>
__device__ inline void embed(const EmbeddingParams& p, int64_t units) {
  const int64_t position = blockIdx.x, id = p.ids[position];
  const bool known = id >= 0 && id < p.rows + p.added_rows, is_added = id >= p.rows;
  const int64_t row = known ? (is_added ? id - p.rows : id) : 0;
  const Unit* source = static_cast<const Unit*>(is_added ? p.added : p.table) + row * units;
  Unit* y = static_cast<Unit*>(p.y) + position * units;
  for (int64_t i = threadIdx.x; i < units; i += kEmbeddingThreads) y[i] = known ? source[i] : NotANumber<Unit>::value();
}

template <class T>
__device__ inline void embedding_gradient(const EmbeddingParams& p, bool wide) {
  const int64_t row = blockIdx.x, lane = threadIdx.x % gpu::kWarpSize;
  for (int64_t stripe = 0; stripe < p.width; stripe += kEmbeddingThreads * 8) {
    const int64_t column = stripe + threadIdx.x * 8, left = p.width - column;
    gpu::Eight sum{};
    for (int64_t first = 0; first < p.count; first += gpu::kWarpSize) {
      const int64_t mine = first + lane;
      uint32_t found = __ballot_sync(gpu::kFullWarp, mine < p.count && p.ids[mine] - p.first == row);
      for (int64_t position = first; found != 0; position++, found >>= 1) {
        if ((found & 1) == 0 || left <= 0) continue;
        const T* dy = static_cast<const T*>(p.dy) + position * p.width + column;
        const gpu::Eight x = gpu::load_eight(dy, wide, left);
        for (int k = 0; k < 8; k++) sum.v[k] = sum.v[k] + x.v[k];
      }
    }
    if (left > 0) gpu::store_eight(p.dtable + row * p.width + column, sum, wide, left);
  }
}

}  // namespace

#define EMBEDDING_KERNEL(bytes, Unit)                                \
  extern "C" __global__ void __launch_bounds__(kEmbeddingThreads)    \
      embedding_##bytes##_kernel(EmbeddingParams p, int64_t units) { \
    embed<Unit>(p, units);                                           \
  }                                                                  \
  KERNEL(embedding_##bytes##_kernel)

EMBEDDING_KERNEL(2, uint16_t);
EMBEDDING_KERNEL(4, uint32_t);
EMBEDDING_KERNEL(8, uint64_t);
EMBEDDING_KERNEL(16, gpu::SixteenBytes);

FLOAT_KERNELS(embedding_gradient, EmbeddingParams);

}  // namespace noisewright::cuda

// The kernels of gemm_cuda.h. A block of four warps computes 64 or 128 rows x 64 columns of C, each warp a quarter;
// tiles of 64 bytes of K come through cp.async into three stages, so that two are under way while one is multiplied.
//
// What bounds it (arithmetic, not measured on a GPU). A block reads (rows + 64) * 64 bytes for rows * 64 * 32 products
// of 16-bit numbers: 128 rows give 21 products a byte out of the second-level cache, where an A100 (156 T products/s)
// would need 7.4 TB/s at its peak; with about 5 TB/s, 65 % of the peak is the most, 64 rows (16 products a byte) reach
// half. From shared memory a warp of 64 x 32 reads 96 lines for 11 products a byte: 96 bytes a clock of the 128 there
// are, at the 1024 products a clock of an A100's multiprocessor; one of 32 x 32 needs them all. Expected: 40 to 55 % of
// the peak for large products; products with few pixels are bound by reading weights once. Registers of a thread: 64
// sums, 24 of fragments, 16 of addresses. Float32 products run on the plain cores (FFMA, 64 sums for 16 loads of 16
// bytes): 50 to 70 % of 19.5 TFLOP/s.
#include "cuda/gpu.h"
#include "ops/matmul/activation.cuh"
#include "ops/matmul/gemm_cuda.h"
#include "ops/matmul/gemm_tile.cuh"

namespace noisewright::cuda {

namespace {

template <class T>
struct alignas(2 * sizeof(T)) Pair {
  T v[2];
};

// Where a row of C, and its line of row_bias, begin.
struct RowTarget {
  int64_t c, bias;
};

__device__ inline RowTarget target_of(const Product& p, int64_t batch, int32_t row) {
  int64_t at = row * p.stride2;
  if (p.size2) {
    const uint32_t outer = static_cast<uint32_t>(row) / static_cast<uint32_t>(p.size2);
    const uint32_t image = outer / static_cast<uint32_t>(p.size1);
    at = image * p.stride0 + (outer - image * p.size1) * p.stride1 + (row - outer * p.size2) * p.stride2;
  }
  const int64_t bias =
      p.row_bias ? static_cast<uint32_t>(row) / static_cast<uint32_t>(p.rows_per_bias) * p.n : int64_t{0};
  return {batch * p.c_batch_stride + at, bias};
}

template <class T>
__device__ inline void put_pair(void* to, int64_t at, const float (&v)[2], int count, bool whole) {
  T* c = static_cast<T*>(to) + at;
  Pair<T> stored;
  for (int i = 0; i < 2; i++) gpu::store(stored.v + i, v[i]);
  if (whole) {
    *reinterpret_cast<Pair<T>*>(c) = stored;
  } else {
    UNROLL
    for (int i = 0; i < 2; i++)
      if (i < count) c[i] = stored.v[i];
  }
}

__device__ inline void put_pair(void* to, DType dtype, int64_t at, const float (&v)[2], int count, bool whole) {
  if (dtype == DType::kBFloat16)
    put_pair<bfloat16>(to, at, v, count, whole);
  else if (dtype == DType::kFloat16)
    put_pair<float16>(to, at, v, count, whole);
  else
    put_pair<float>(to, at, v, count, whole);
}

// Two neighbours of C.
__device__ inline void finish(const Product& p, const RowTarget& target, int32_t column, const float (&sum)[2]) {
  const int count = p.n - column < 2 ? 1 : 2;
  const bool whole = p.pairs && count == 2;
  float v[2] = {0, 0}, before[2] = {0, 0};
  UNROLL
  for (int i = 0; i < 2; i++) {
    if (i >= count) break;
    float offset = 0;
    if (p.bias) offset = gpu::load_any(p.bias, p.bias_dtype, column + i);
    if (p.row_bias) offset = offset + gpu::load_any(p.row_bias, p.row_bias_dtype, target.bias + column + i);
    before[i] = p.alpha * sum[i] + offset;
    v[i] = activate(p.activation, before[i]);
    if (p.residual) v[i] = v[i] + gpu::load_any(p.residual, p.residual_dtype, target.c + column + i);
  }
  if (p.pre) put_pair(p.pre, p.c_dtype, target.c + column, before, count, whole);
  put_pair(p.c, p.c_dtype, target.c + column, v, count, whole);
}

template <int kRows, bool kAKMajor, bool kBKMajor>
struct Block {
  static constexpr int kM = kRows / 32, kN = kGemmColumns / 16;  // pieces of 16 x 8 of a warp
  static constexpr int kABytes = gemm_tile_bytes(kRows, kAKMajor), kBBytes = gemm_tile_bytes(kGemmColumns, kBKMajor);
  static constexpr int kResultStride = kGemmColumns + 8;  // eight lines fall on different banks
  static_assert(kRows * kResultStride * 4 <= kGemmStages * (kABytes + kBBytes), "the sums take the place of the tiles");
  template <class T>
  using A = Tile<T, kRows, kAKMajor>;
  template <class T>
  using B = Tile<T, kGemmColumns, kBKMajor>;
  gpu::Sums sums[kM][kN];

  // Adds the product of two factors over [k, k_end).
  template <class Math>
  __device__ void add(const Product& p, const Factor& a, const Factor& b, int64_t batch, int32_t row, int32_t column,
                      int32_t k, int32_t k_end, unsigned char* memory) {
    using T = typename Math::T;
    const TileLoader<A<T>> a_loader(a, batch, row, static_cast<int32_t>(p.m));
    const TileLoader<B<T>> b_loader(b, batch, column, static_cast<int32_t>(p.n));
    constexpr int kDepth = A<T>::kDepth;
    const int32_t steps = (k_end - k + kDepth - 1) / kDepth;
    const int warp = threadIdx.x / 32;
    const auto a_tile = [&](int32_t step) {
      return reinterpret_cast<T*>(memory + step % kGemmStages * (kABytes + kBBytes));
    };
    const auto b_tile = [&](int32_t step) {
      return reinterpret_cast<T*>(reinterpret_cast<char*>(a_tile(step)) + kABytes);
    };
    const auto bring = [&](int32_t step) {
      if (step < steps) {
        a_loader.load(a_tile(step), k + step * kDepth, k_end);
        b_loader.load(b_tile(step), k + step * kDepth, k_end);
      }
      gpu::commit_copies();
    };
    KEEP_LOOP
    for (int32_t step = 0; step < kGemmStages - 1; step++) bring(step);
    KEEP_LOOP
    for (int32_t step = 0; step < steps; step++) {
      gpu::wait_for_copies<kGemmStages - 2>();
      __syncthreads();  // everybody's part of this step is there, and the tiles of the last step are free
      bring(step + kGemmStages - 1);
      Math::template add<A<T>, B<T>>(a_tile(step), b_tile(step), warp / 2 * (kRows / 2), warp % 2 * (kGemmColumns / 2),
                                     sums);
    }
    gpu::wait_for_copies<0>();
    __syncthreads();
  }

  template <class Math>
  __device__ void run(const Product& p) {
    DYN_SHARED(unsigned char, memory);
    UNROLL
    for (auto& line : sums) {
      UNROLL
      for (gpu::Sums& s : line) s = {};
    }
    const int32_t row = static_cast<int32_t>(blockIdx.x) * kRows,
                  column = static_cast<int32_t>(blockIdx.y) * kGemmColumns;
    const int64_t batch = blockIdx.z / p.splits, split = blockIdx.z % p.splits;
    const int64_t k = split * p.k_per_split, k_end = k + p.k_per_split < p.k ? k + p.k_per_split : p.k;
    add<Math>(p, p.a, p.b, batch, row, column, static_cast<int32_t>(k), static_cast<int32_t>(k_end), memory);
    if (p.low_k && split == p.splits - 1)
      add<typename LowRankMath<Math>::Type>(p, p.low_a, p.low_b, batch, row, column, 0, static_cast<int32_t>(p.low_k),
                                            memory);
    float* tile = reinterpret_cast<float*>(memory);  // [kRows][kResultStride]
    put_sums(tile);
    __syncthreads();
    constexpr int kPairs = kGemmColumns / 2;
    KEEP_LOOP
    for (int i = threadIdx.x; i < kRows * kPairs; i += kGemmThreads) {
      const int32_t r = row + i / kPairs, c = column + i % kPairs * 2;
      if (r >= p.m || c >= p.n) continue;
      const float* from = tile + i / kPairs * kResultStride + i % kPairs * 2;
      const float pair[2] = {from[0], from[1]};
      if (p.partial)
        put_pair<float>(p.partial, ((split * p.batch + batch) * p.m + r) * p.n + c, pair, p.n - c < 2 ? 1 : 2, false);
      else
        finish(p, target_of(p, batch, r), c, pair);
    }
  }

  // Hands the sums over to where neighbouring threads have neighbouring columns.
  __device__ void put_sums(float* tile) const {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    UNROLL
    for (int i = 0; i < 2 * kM; i++) {
      float* line = tile + (warp / 2 * (kRows / 2) + i * 8 + lane / 4) * kResultStride;
      UNROLL
      for (int j = 0; j < kN; j++) {
        float* to = line + warp % 2 * (kGemmColumns / 2) + j * 8 + lane % 4 * 2;
        to[0] = sums[i / 2][j].v[i % 2 * 2];
        to[1] = sums[i / 2][j].v[i % 2 * 2 + 1];
      }
    }
  }
};

}  // namespace

// Two blocks at least: without a number nvcc spills on sm_100 to make room for more.
#define GEMM_KERNEL(name, Math, rows, a, b)                                                \
  extern "C" __global__ void __launch_bounds__(kGemmThreads, 2) name##_kernel(Product p) { \
    Block<rows, a, b> block;                                                               \
    block.run<Math>(p);                                                                    \
  }                                                                                        \
  KERNEL(name##_kernel)
// l: lines of K numbers; k: lines that are neighbours.
#define GEMM_KERNELS(name, Math, rows)                              \
  GEMM_KERNEL(gemm_##name##_##rows##_ll, Math, rows, false, false); \
  GEMM_KERNEL(gemm_##name##_##rows##_lk, Math, rows, false, true);  \
  GEMM_KERNEL(gemm_##name##_##rows##_kl, Math, rows, true, false);  \
  GEMM_KERNEL(gemm_##name##_##rows##_kk, Math, rows, true, true)

GEMM_KERNELS(f32, FloatMath, 64);
GEMM_KERNELS(f32, FloatMath, 128);
GEMM_KERNELS(tf32, Tf32Math, 64);
GEMM_KERNELS(bf16, HalfMath<bfloat16>, 64);
GEMM_KERNELS(bf16, HalfMath<bfloat16>, 128);
GEMM_KERNELS(f16, HalfMath<float16>, 64);
GEMM_KERNELS(f16, HalfMath<float16>, 128);

// Adds the parts of a product whose K was split, in order. Bytes: the parts once, C once.
extern "C" __global__ void __launch_bounds__(kGemmJoinThreads) gemm_join_kernel(Product p) {
  const int64_t pairs = (p.n + 1) / 2, i = int64_t{blockIdx.x} * kGemmJoinThreads + threadIdx.x;
  const int64_t line = i / pairs, batch = line / p.m;
  if (batch >= p.batch) return;
  const auto column = static_cast<int32_t>(i % pairs * 2);
  float sum[2] = {0, 0};
  for (int64_t split = 0; split < p.splits; split++) {
    UNROLL
    for (int e = 0; e < 2; e++)
      if (column + e < p.n) sum[e] = sum[e] + p.partial[(split * p.batch * p.m + line) * p.n + column + e];
  }
  finish(p, target_of(p, batch, static_cast<int32_t>(line % p.m)), column, sum);
}
KERNEL(gemm_join_kernel);

}  // namespace noisewright::cuda

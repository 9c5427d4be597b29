// Tiles of factors in shared memory: how they get there and how a warp multiplies two of them.
#pragma once
#include "cuda/mma.h"
#include "ops/matmul/gemm_cuda.h"

namespace noisewright::cuda {
namespace {

// ---- Where the elements of a factor lie

struct Outer {
  int64_t base;
  int32_t y, x;
};
struct Inner {
  int32_t at, y, x;
};

__device__ inline Outer outer_of(const Factor& f, int32_t outer) {
  if (f.kind == FactorKind::kMatrix) return {outer * f.stride, 0, 0};
  if (f.kind == FactorKind::kPixels) {
    const PixelTaps& p = f.pixels;
    const uint32_t row = p.grid_w.divide(outer), image = p.grid_h.divide(row);
    return {int64_t{image} * p.h * p.w, static_cast<int32_t>(row - image * p.grid_h.divisor) * p.step + p.first_y,
            static_cast<int32_t>(outer - row * p.grid_w.divisor) * p.step + p.first_x};
  }
  const WeightTaps& w = f.weights;
  const uint32_t tap = w.co.divide(outer), channel = outer - tap * w.co.divisor, y = w.taps_x.divide(tap);
  const int32_t position = (w.first_y + static_cast<int32_t>(y) * w.step) * w.kw + w.first_x +
                           static_cast<int32_t>(tap - y * w.taps_x.divisor) * w.step;
  return {(int64_t{channel} * w.taps + position) * w.ci, 0, 0};
}

__device__ inline Inner inner_of(const Factor& f, int32_t inner) {
  if (f.kind != FactorKind::kPixels) return {inner, 0, 0};
  const PixelTaps& p = f.pixels;
  const uint32_t tap = p.by_channels.divide(inner), y = p.taps_x.divide(tap);
  return {inner - static_cast<int32_t>(tap) * p.channels, static_cast<int32_t>(y) * p.direction,
          static_cast<int32_t>(tap - y * p.taps_x.divisor) * p.direction};
}

// The element's number from the start of the factor, or -1 for a zero around an image.
__device__ inline int64_t find(const Factor& f, const Outer& o, const Inner& i) {
  if (f.kind != FactorKind::kPixels) return o.base + i.at;
  const PixelTaps& p = f.pixels;
  const int32_t y = o.y + i.y, x = o.x + i.x;
  if (y < 0 || y >= p.limit_h || x < 0 || x >= p.limit_w) return -1;
  return (o.base + (y >> p.shift) * int64_t{p.w} + (x >> p.shift)) * p.channels + i.at;
}

// ---- Tiles: [lines][k], or [k][lines] of a factor with k_major. Strides are odd multiples of 16 bytes where ldmatrix
// reads rows, so that eight rows fall on different banks.

template <class Type, int kLineCount, bool kIsKMajor>
struct Tile {
  using T = Type;
  static constexpr int kLines = kLineCount;
  static constexpr bool kKMajor = kIsKMajor;
  static constexpr int kPerChunk = 16 / sizeof(T);
  static constexpr int kDepth = kGemmBytesOfK / sizeof(T);
  static constexpr int kStride = kKMajor ? kLines + 8 : kDepth + kPerChunk;
  static constexpr int kChunksInRow = (kKMajor ? kLines : kDepth) / kPerChunk;
  static constexpr int kPerThread = kLines * (kGemmBytesOfK / 16) / kGemmThreads;  // chunks
};

__device__ inline void put(float* to, const void* from, DType dtype, int64_t at) {
  gpu::store(to, gpu::load_any(from, dtype, at));
}
template <class T>
__device__ inline void put(T* to, const void* from, DType, int64_t at) {
  *to = static_cast<const T*>(from)[at];
}

// Brings 16 bytes of a tile: `left` of its elements exist from `at` on; -1: none do.
template <class T>
__device__ inline void bring_chunk(T* to, const Factor& f, const void* data, int64_t at, int left) {
  constexpr int kCount = 16 / sizeof(T);
  if (at < 0 || left < 0) left = 0;
  if (left > kCount) left = kCount;
  if (f.dtype == DTypeOf<T>::value) {
    gpu::copy_async_16(to, left ? static_cast<const T*>(data) + at : data, static_cast<unsigned>(left * sizeof(T)));
  } else if constexpr (sizeof(T) == 4) {
    gpu::Four x{};
    if (left == 4) {
      x = f.dtype == DType::kBFloat16 ? gpu::load4(static_cast<const bfloat16*>(data) + at)
                                      : gpu::load4(static_cast<const float16*>(data) + at);
    } else {
      UNROLL
      for (int e = 0; e < 3; e++)
        if (e < left) x.v[e] = gpu::load_any(data, f.dtype, at + e);
    }
    gpu::store_shared(to, x);
  }
}

// Brings the tiles of one factor for a block whose lines begin at `first`. Each thread has chunks of 16 bytes; what
// does not change with k about them is found once.
template <class Tile>
class TileLoader {
  using T = typename Tile::T;

 public:
  __device__ TileLoader(const Factor& factor, int64_t batch, int32_t first, int32_t line_count)
      : f(factor), lines(line_count), first_line(first) {
    const int64_t size = f.dtype == DType::kFloat32 ? 4 : 2;
    data = static_cast<const char*>(f.data) + batch * f.batch_stride * size;
    UNROLL
    for (int j = 0; j < Tile::kPerThread; j++) {
      if constexpr (Tile::kKMajor)
        inner[j] = inner_of(f, first + part(j) * Tile::kPerChunk);
      else
        outer[j] = outer_of(f, first + row(j));
    }
  }

  // Elements [k, k_end) of the lines; the tile holds zeros beyond them.
  __device__ void load(T* tile, int32_t k, int32_t k_end) const {
    UNROLL
    for (int j = 0; j < Tile::kPerThread; j++) {
      T* to = tile + row(j) * Tile::kStride + part(j) * Tile::kPerChunk;
      const int32_t outer_at = (Tile::kKMajor ? k : first_line) + row(j);
      const int32_t inner_at = (Tile::kKMajor ? first_line : k) + part(j) * Tile::kPerChunk;
      int32_t left = (Tile::kKMajor ? lines : k_end) - inner_at;
      if (outer_at >= (Tile::kKMajor ? k_end : lines)) left = 0;
      Outer o;
      Inner i;
      if constexpr (Tile::kKMajor) {
        o = left > 0 ? outer_of(f, outer_at) : Outer{};
        i = inner[j];
      } else {
        o = outer[j];
        i = left > 0 ? inner_of(f, inner_at) : Inner{};
      }
      if (f.wide) {
        bring_chunk(to, f, data, left > 0 ? find(f, o, i) : -1, left);
        continue;
      }
      KEEP_LOOP
      for (int e = 0; e < Tile::kPerChunk; e++) {
        const int64_t at = e < left ? find(f, o, e ? inner_of(f, inner_at + e) : i) : -1;
        if (at >= 0)
          put(to + e, data, f.dtype, at);
        else
          to[e] = T{};
      }
    }
  }

 private:
  __device__ static int row(int j) { return (threadIdx.x + j * kGemmThreads) / Tile::kChunksInRow; }
  __device__ static int part(int j) { return (threadIdx.x + j * kGemmThreads) % Tile::kChunksInRow; }

  const Factor& f;
  const void* data;
  int32_t lines, first_line;
  Outer outer[Tile::kKMajor ? 1 : Tile::kPerThread];
  Inner inner[Tile::kKMajor ? Tile::kPerThread : 1];
};

// ---- Products of tiles: a warp adds the product of its lines, from `row` of A's tile and `column` of B's, to sums of
// kM x kN pieces of 16 x 8.

// Tensor cores, for 16-bit floats.
template <class Type>
struct HalfMath {
  using T = Type;
  template <class A, class B, int kM, int kN>
  __device__ static void add(const T* a, const T* b, int row, int column, gpu::Sums (&sums)[kM][kN]) {
    const int lane = threadIdx.x % 32, low = lane % 16, high = lane / 16 * 8;
    const int folded = high + lane % 8, eights = lane / 8 % 2 * 8;
    UNROLL
    for (int k = 0; k < A::kDepth; k += 16) {
      gpu::FragmentA x[kM];
      UNROLL
      for (int i = 0; i < kM; i++)
        x[i] = A::kKMajor ? gpu::load_matrices<true>(a + (k + folded) * A::kStride + row + 16 * i + eights)
                          : gpu::load_matrices<false>(a + (row + 16 * i + low) * A::kStride + k + high);
      UNROLL
      for (int j = 0; j < kN; j += 2) {
        const gpu::FragmentA y =
            B::kKMajor ? gpu::load_matrices<true>(b + (k + low) * B::kStride + column + 8 * j + high)
                       : gpu::load_matrices<false>(b + (column + 8 * j + folded) * B::kStride + k + eights);
        UNROLL
        for (int i = 0; i < kM; i++) {
          gpu::multiply_add<T>(sums[i][j], x[i], {{y.word[0], y.word[1]}});
          gpu::multiply_add<T>(sums[i][j + 1], x[i], {{y.word[2], y.word[3]}});
        }
      }
    }
  }
};

template <class Tile>
__device__ inline float element(const float* tile, int line, int k) {
  return Tile::kKMajor ? tile[k * Tile::kStride + line] : tile[line * Tile::kStride + k];
}

// Tensor cores on float32 rounded to tf32: where a factor beside it or the result has 16 bits, that is precise enough.
struct Tf32Math {
  using T = float;
  template <class A, class B, int kM, int kN>
  __device__ static void add(const float* a, const float* b, int row, int column, gpu::Sums (&sums)[kM][kN]) {
    const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    UNROLL
    for (int k = 0; k < A::kDepth; k += 8) {
      float x[kM][4];
      UNROLL
      for (int i = 0; i < kM; i++) {
        UNROLL
        for (int e = 0; e < 4; e++) x[i][e] = element<A>(a, row + 16 * i + g + e % 2 * 8, k + t + e / 2 * 4);
      }
      UNROLL
      for (int j = 0; j < kN; j++) {
        const int line = column + 8 * j + g;
        const float y[2] = {element<B>(b, line, k + t), element<B>(b, line, k + t + 4)};
        UNROLL
        for (int i = 0; i < kM; i++) gpu::multiply_add_tf32(sums[i][j], x[i], y);
      }
    }
  }
};

// Float32 throughout, each thread for the sums that tensor cores would give it: 4 k at a time are one access.
struct FloatMath {
  using T = float;
  template <class Tile>
  __device__ static gpu::Four along_k(const float* tile, int line, int k) {
    gpu::Four x;
    if constexpr (Tile::kKMajor) {
      UNROLL
      for (int e = 0; e < 4; e++) x.v[e] = element<Tile>(tile, line, k + e);
    } else {
      x = gpu::load_shared(tile + line * Tile::kStride + k);
    }
    return x;
  }
  template <class A, class B, int kM, int kN>
  __device__ static void add(const float* a, const float* b, int row, int column, gpu::Sums (&sums)[kM][kN]) {
    const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    UNROLL
    for (int k = 0; k < A::kDepth; k += 4) {
      gpu::Four x[kM][2];
      UNROLL
      for (int i = 0; i < kM; i++) {
        UNROLL
        for (int e = 0; e < 2; e++) x[i][e] = along_k<A>(a, row + 16 * i + 8 * e + g, k);
      }
      UNROLL
      for (int j = 0; j < kN; j++) {
        UNROLL
        for (int e = 0; e < 2; e++) {
          const gpu::Four y = along_k<B>(b, column + 8 * j + 2 * t + e, k);
          UNROLL
          for (int i = 0; i < kM; i++) {
            UNROLL
            for (int q = 0; q < 4; q++) {
              float &low = sums[i][j].v[e], &high = sums[i][j].v[2 + e];
              low = fmaf(x[i][0].v[q], y.v[q], low);
              high = fmaf(x[i][1].v[q], y.v[q], high);
            }
          }
        }
      }
    }
  }
};

template <class Math>
struct LowRankMath {
  using Type = Tf32Math;
};
template <>
struct LowRankMath<FloatMath> {
  using Type = FloatMath;
};

}  // namespace
}  // namespace noisewright::cuda

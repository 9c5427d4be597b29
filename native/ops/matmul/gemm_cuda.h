// Matrix products on the GPU, for the host code of ops: C = epilogue(alpha * (A B + low-rank A B)), float32 sums. One
// engine serves matmul, linear and conv2d: what differs is where the elements of a factor lie.
#pragma once
#include <cstdint>

#include "core/dtype.h"
#include "ops/matmul/activation.h"

namespace noisewright::cuda {

// Division of numbers below 2^31 by a constant, without dividing.
struct Divider {
  uint32_t divisor = 1, multiplier = 1, shift = 0;

  Divider() = default;
  explicit Divider(int64_t by) : divisor(static_cast<uint32_t>(by)) {
    while ((uint64_t{1} << shift) < divisor) shift++;
    multiplier = static_cast<uint32_t>((((uint64_t{1} << shift) - divisor) << 32) / divisor + 1);
  }
  constexpr uint32_t divide(uint32_t x) const {
    return (static_cast<uint32_t>(uint64_t{x} * multiplier >> 32) + x) >> shift;
  }
};

// The elements of a factor have two numbers: `outer`, and `inner`, which counts neighbours in memory.
enum class FactorKind : int32_t {
  kMatrix,   // element (outer, inner) at outer * stride + inner
  kPixels,   // outer: pixel of a grid; inner: (tap, channel) of the image under the taps around it, or zero outside
  kWeights,  // outer: (tap, output channel); inner: input channel of weights [co, taps, ci]
};

struct PixelTaps {
  int32_t h, w, channels;    // of the images
  int32_t limit_h, limit_w;  // of the images as the taps see them: enlarged by `shift` bits
  int32_t shift, step;       // pixel (y, x) of the grid stands at (y * step, x * step)
  int32_t first_y, first_x;  // from there to its first tap
  int32_t direction;         // from one tap to the next: 1 or -1
  Divider grid_h, grid_w, taps_x, by_channels;
};

struct WeightTaps {
  int32_t ci, taps, kw;            // of the weights
  int32_t first_y, first_x, step;  // tap (i, j) of the factor is tap (first_y + i step, first_x + j step) of these
  Divider co, taps_x;
};

struct Factor {
  const void* data = nullptr;
  DType dtype = DType::kFloat32;
  FactorKind kind = FactorKind::kMatrix;
  bool k_major = false;  // outer is k and inner the line (a row of A, a column of B), or the other way round
  bool wide = false;     // whether 16 bytes may be read at once; set by multiply
  int64_t stride = 0, batch_stride = 0;
  PixelTaps pixels{};
  WeightTaps weights{};
};

inline Factor matrix_of(const void* data, DType dtype, int64_t stride, bool k_major, int64_t batch_stride = 0) {
  Factor f;
  f.data = data;
  f.dtype = dtype;
  f.stride = stride;
  f.k_major = k_major;
  f.batch_stride = batch_stride;
  return f;
}

// v = alpha * sum + bias + row_bias; pre = v; v = activation(v); c = v + residual.
struct Product {
  int64_t m = 0, n = 0, k = 0, batch = 1;
  int64_t low_k = 0;  // of the low-rank factors; laid out as a and b are, of any float types
  Factor a, b, low_a, low_b;
  bool tf32 = false;  // whether a product of a 16-bit factor and a float32 one may round the latter to tf32
  float alpha = 1;
  const void* bias = nullptr;      // [n]
  const void* row_bias = nullptr;  // [m / rows_per_bias, n]
  DType bias_dtype = DType::kFloat32, row_bias_dtype = DType::kFloat32;
  int64_t rows_per_bias = 1;
  Activation activation = Activation::kNone;
  void* c = nullptr;
  DType c_dtype = DType::kFloat32;
  // Row i of c, residual and pre starts at stride0 (i / size2 / size1) + stride1 (i / size2 % size1) + stride2 (i %
  // size2); with size2 = 0 at stride2 i.
  int64_t stride2 = 0, size2 = 0, stride1 = 0, size1 = 1, stride0 = 0;
  int64_t c_batch_stride = 0;
  const void* residual = nullptr;
  DType residual_dtype = DType::kFloat32;
  void* pre = nullptr;  // dtype of c
  // Set by multiply:
  int64_t splits = 1, k_per_split = 0;
  float* partial = nullptr;  // [splits, batch, m, n] where K is split
  bool pairs = false;        // whether two neighbours of c, residual and pre may be accessed at once
};

// Runs the product. Its tiles, and how K is split, depend on shapes and types alone.
void multiply(Product p, const char* op);

// to[groups, columns] = sums over the rows of x[groups, rows, columns]
void column_sums(const void* x, DType dtype, int64_t groups, int64_t rows, int64_t columns, float* to);

constexpr int kGemmThreads = 128;  // four warps, two by two
constexpr int kGemmStages = 3;
constexpr int kGemmBytesOfK = 64;  // of a line of a tile
constexpr int kGemmColumns = 64;   // of a block; its rows are 64 or 128
constexpr int kGemmJoinThreads = 256;
constexpr int kSumRows = 64;  // added by one thread of column_sums
constexpr int kSumThreads = 128;

// Bytes of shared memory that a factor's tile of `lines` lines takes, whatever the type: lines are 16 bytes apart more
// than they are long, and so are ks, by 8 elements.
constexpr int gemm_tile_bytes(int lines, bool k_major) {
  return k_major ? kGemmBytesOfK / 2 * (lines + 8) * 2 : lines * (kGemmBytesOfK + 16);
}

}  // namespace noisewright::cuda

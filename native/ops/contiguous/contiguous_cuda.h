// What the kernels of contiguous_cuda.cu and their host code in contiguous_cuda.cpp agree on.
#pragma once
#include <cstdint>

namespace noisewright::cuda {

constexpr int kCopyThreads = 256;
constexpr int kCopyTile = 32;  // units, of both axes

// A copy in units of 1, 2, 4, 8 or 16 bytes that both sides can be cut into. Strides and sizes count units.
struct CopyUnits {
  const void* x;
  void* y;
  int64_t shape[6];
  int64_t x_strides[6];
  int64_t y_strides[6];
  int64_t count;
  int64_t row_tiles, column_tiles;  // of a transposing copy
  int32_t axis;                     // along which x is contiguous, where it is transposed
};

}  // namespace noisewright::cuda

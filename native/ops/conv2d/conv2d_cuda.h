// What the kernel of conv2d_cuda.cu and its host code in conv2d_cuda.cpp agree on.
#pragma once
#include <cstdint>

namespace noisewright::cuda {

constexpr int kSquareThreads = 256;

// to[n, h + 1, w + 1, c]: pixel (y, x) is the sum of those of dy [n, h, w, c] at (y - 1 .. y, x - 1 .. x).
struct SquareSums {
  const void* dy;
  void* to;
  int64_t count;  // elements of to
  int32_t h, w, c;
};

}  // namespace noisewright::cuda

// Sums over the rows of a matrix, for gradients of biases: partial sums of 64 rows, then those in order.
#include <type_traits>

#include "core/parallel.h"
#include "core/simd.h"
#include "ops/matmul/gemm.h"

namespace noisewright::NOISEWRIGHT_TARGET {
namespace {

constexpr int64_t kRowsPerSum = 64;

template <class T>
void partial_sums(const T* x, int64_t rows, int64_t columns, float* to) {
  constexpr int kVectors = 4;
  for (int64_t j = 0; j < columns; j += kVectors * kLanes) {
    Vec sum[kVectors] = {zero(), zero(), zero(), zero()};
    const bool whole = j + kVectors * kLanes <= columns;
    for (int64_t r = 0; r < rows; r++)
      for (int v = 0; v < kVectors; v++) {
        const int64_t at = j + v * kLanes;
        if (whole || at < columns) sum[v] = sum[v] + load_up_to(x + r * columns + at, columns - at);
      }
    for (int v = 0; v < kVectors; v++)
      if (j + v * kLanes < columns) store_up_to(to + j + v * kLanes, sum[v], columns - j - v * kLanes);
  }
}

}  // namespace

void column_sums(const void* x, DType dtype, int64_t groups, int64_t rows, int64_t columns, float* to) {
  const int64_t parts = (rows + kRowsPerSum - 1) / kRowsPerSum;
  Scratch<float> partial(groups * parts * columns);
  parallel_for(groups * parts, [&](int64_t task) {
    const int64_t first = task % parts * kRowsPerSum, row = task / parts * rows + first;
    const int64_t count = rows - first < kRowsPerSum ? rows - first : kRowsPerSum;
    float* sums = partial.data + task * columns;
    with_float_type(dtype, [&](auto* t) {
      partial_sums(static_cast<const std::remove_pointer_t<decltype(t)>*>(x) + row * columns, count, columns, sums);
    });
  });
  parallel_for(groups, [&](int64_t group) {
    partial_sums(partial.data + group * parts * columns, parts, columns, to + group * columns);
  });
}

}  // namespace noisewright::NOISEWRIGHT_TARGET

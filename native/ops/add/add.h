// y = a op b, element by element; b may have axes of size 1 where a does not.
#pragma once
#include "core/cpu_target.h"
#include "core/dtype.h"

namespace noisewright {

enum class BinaryOp : int32_t { kAdd, kSub, kMul, kDiv };

// The shapes are reduced to five axes: a and y are [d0, d1, d2, d3, d4] packed, b has the given strides (0 =
// broadcast).
struct AddParams {
  const void* a;
  const void* b;
  void* y;
  int64_t shape[5];
  int64_t b_strides[5];
  DType dtype;  // of a and y
  DType b_dtype;
  BinaryOp op;
};

CPU_KERNEL(add_forward, AddParams)
namespace cuda {
void add_forward(const AddParams&);
}

}  // namespace noisewright

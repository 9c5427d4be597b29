#include "ops/add/add.h"

#include "core/launch.h"
#include "ops/ops.h"

namespace noisewright {

Tensor add_forward(const Tensor& a, const Tensor& b, int64_t op) {
  CHECK("add", a.rank() <= 5 && b.rank() <= a.rank(), "rank is at most 5 and that of a");
  // Axes of size 1 go away and neighbours that b walks through alike become one, so that rows are as long as they can
  // be.
  const Shape packed = packed_strides(b.shape);
  Shape sizes, b_strides;
  for (int axis = 0; axis < a.rank(); axis++) {
    const int b_axis = axis - (a.rank() - b.rank());
    const int64_t size = a.shape[axis], stride = b_axis < 0 || b.shape[b_axis] == 1 ? 0 : packed[b_axis];
    if (size == 1) continue;
    if (!sizes.empty() && b_strides.back() == stride * size) {
      sizes.back() *= size;
      b_strides.back() = stride;
    } else {
      sizes.push_back(size);
      b_strides.push_back(stride);
    }
  }
  AddParams p{};
  for (int i = 4, from = static_cast<int>(sizes.size()) - 1; i >= 0; i--, from--) {
    p.shape[i] = from < 0 ? 1 : sizes[from];
    p.b_strides[i] = from < 0 ? 0 : b_strides[from];
  }
  p.dtype = a.dtype;
  p.b_dtype = b.dtype;
  p.op = static_cast<BinaryOp>(op);
  Tensor y = empty_like(a);
  launch<kRepeatable>("add", {a, b}, {y}, [=]() mutable {
    p.a = a.data();
    p.b = b.data();
    p.y = y.data();
    run_kernel("add", {cpu::add_forward, cuda::add_forward}, p);
  });
  return y;
}

}  // namespace noisewright

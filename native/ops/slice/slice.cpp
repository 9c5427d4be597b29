#include "ops/slice/slice.h"

#include "core/launch.h"
#include "ops/ops.h"

namespace noisewright {

Tensor slice_backward(const Tensor& dy, const Shape& shape, int64_t axis, int64_t start) {
  CHECK("slice", dy.contiguous() && dy.shape.size() == shape.size(), "dy must be contiguous and of the rank of x");
  Tensor dx = empty(dy, shape);
  int64_t inner = static_cast<int64_t>(item_size(dy.dtype));
  for (size_t i = static_cast<size_t>(axis) + 1; i < shape.size(); i++) inner *= shape[i];
  PadParams p{};
  p.before = start * inner;
  p.middle = dy.shape[axis] * inner;
  p.after = shape[axis] * inner - p.before - p.middle;
  p.outer = 1;
  for (int64_t i = 0; i < axis; i++) p.outer *= shape[i];
  CHECK("slice", p.after >= 0, "the slice must lie inside x");
  launch<kRepeatable>("sliceBackward", {dy}, {dx}, [=]() mutable {
    p.dy = dy.data();
    p.dx = dx.data();
    run_kernel("sliceBackward", {cpu::slice_backward, cuda::slice_backward}, p);
  });
  return dx;
}

}  // namespace noisewright

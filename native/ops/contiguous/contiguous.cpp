#include "core/launch.h"
#include "ops/contiguous/copy_params.h"
#include "ops/ops.h"

namespace noisewright {

CopyParams copy_params(const Tensor& x, const Shape& y_strides) {
  Shape sizes, from, to;
  for (int axis = 0; axis < x.rank(); axis++) {
    const int64_t size = x.shape[axis];
    if (size == 1) continue;
    if (!sizes.empty() && from.back() == x.strides[axis] * size && to.back() == y_strides[axis] * size) {
      sizes.back() *= size;
      from.back() = x.strides[axis];
      to.back() = y_strides[axis];
    } else {
      sizes.push_back(size);
      from.push_back(x.strides[axis]);
      to.push_back(y_strides[axis]);
    }
  }
  if (!to.empty() && to.back() != 1) {  // the innermost axis has one element in a longer row of y
    sizes.push_back(1);
    from.push_back(1);
    to.push_back(1);
  }
  CHECK("contiguous", sizes.size() <= 6, "at most 6 axes that cannot be merged");
  CopyParams p{};
  p.item = static_cast<int64_t>(item_size(x.dtype));
  for (int i = 5, k = static_cast<int>(sizes.size()) - 1; i >= 0; i--, k--) {
    p.shape[i] = k < 0 ? 1 : sizes[k];
    p.x_strides[i] = k < 0 ? 0 : from[k];
    p.y_strides[i] = k < 0 ? 0 : to[k];
  }
  if (sizes.empty()) p.x_strides[5] = 1;
  return p;
}

Tensor contiguous_forward(const Tensor& x) {
  Tensor y = empty_like(x);
  CopyParams p = copy_params(x, y.strides);
  launch<kRepeatable>("contiguous", {x}, {y}, [=]() mutable {
    p.x = x.data();
    p.y = y.data();
    run_kernel("contiguous", {cpu::copy_strided, cuda::copy_strided}, p);
  });
  return y;
}

}  // namespace noisewright

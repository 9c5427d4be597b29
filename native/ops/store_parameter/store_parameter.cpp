#include "ops/store_parameter/store_parameter.h"

#include "core/launch.h"
#include "ops/cast/expanded_weight.h"
#include "ops/ops.h"

namespace noisewright {

Tensor store_parameter(const Tensor& x, bool channels_last, DType dtype) {
  CHECK("storeParameter", x.contiguous(), "x must be contiguous");
  CHECK("storeParameter", is_weight(x.dtype) && is_float(dtype), "x and dtype must be of float types");
  StoreParameterParams p{};
  p.from = ExpandedWeight::type_of(x, dtype);
  p.rows = 1;
  p.channels = x.count();
  p.taps = 1;
  Shape shape = x.shape;
  if (channels_last) {
    CHECK("storeParameter", x.rank() == 4, "a convolution's weight has the shape [co, kh, kw, ci]");
    p.rows = x.size(0);
    p.taps = x.size(1) * x.size(2);
    p.channels = x.size(3);
    CHECK("storeParameter", p.taps <= 4096, "kernels are at most 64 wide");
    shape = {x.size(0), x.size(3), x.size(1), x.size(2)};
  }
  p.to = dtype;
  Tensor y = empty(x, shape, dtype);
  launch("storeParameter", {x}, {y}, [=]() mutable {
    const ExpandedWeight expanded(x, dtype);
    p.x = expanded.data();
    p.y = y.data();
    run_kernel("storeParameter", {cpu::store_parameter, cuda::store_parameter}, p);
  });
  return y;
}

}  // namespace noisewright

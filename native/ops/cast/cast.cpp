#include "ops/cast/cast.h"

#include "core/launch.h"
#include "ops/ops.h"

namespace noisewright {

Tensor cast_forward(const Tensor& x, DType dtype) {
  CHECK("cast", x.contiguous(), "x must be contiguous");
  Tensor y = empty(x, x.shape, dtype);
  launch<kRepeatable>("cast", {x}, {y}, [=] {
    run_kernel<CastParams>("cast", {cpu::cast_forward, cuda::cast_forward},
                           {x.data(), y.data(), x.count(), x.dtype, dtype});
  });
  return y;
}

}  // namespace noisewright

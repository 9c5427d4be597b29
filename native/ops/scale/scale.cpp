#include "ops/scale/scale.h"

#include "core/launch.h"
#include "ops/ops.h"

namespace noisewright {

Tensor scale_forward(const Tensor& x, double factor) {
  CHECK("scale", x.contiguous(), "x must be contiguous");
  Tensor y = empty_like(x);
  launch<kRepeatable>("scale", {x}, {y}, [=] {
    run_kernel<ScaleParams>("scale", {cpu::scale_forward, cuda::scale_forward},
                            {x.data(), y.data(), x.count(), static_cast<float>(factor), x.dtype});
  });
  return y;
}

}  // namespace noisewright

#include "ops/dropout/dropout.h"

#include <cmath>

#include "core/launch.h"
#include "ops/ops.h"

namespace noisewright {

Tensor dropout_forward(const Tensor& x, double probability, uint64_t seed, uint64_t stream) {
  CHECK("dropout", x.contiguous() && probability >= 0.0 && probability < 1.0, "x must be contiguous and p in [0, 1)");
  Tensor y = empty_like(x);
  DropoutParams p{};
  p.count = x.count();
  p.stream = {seed, stream};
  p.threshold = static_cast<uint32_t>(std::ceil(probability * 0x1p24));
  p.factor = static_cast<float>(1.0 / (1.0 - probability));
  p.dtype = x.dtype;
  launch("dropout", {x}, {y}, [=]() mutable {
    p.x = x.data();
    p.y = y.data();
    run_kernel("dropout", {cpu::dropout_forward, cuda::dropout_forward}, p);
  });
  return y;
}

}  // namespace noisewright

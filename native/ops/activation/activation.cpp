#include "ops/activation/activation.h"

#include "core/launch.h"
#include "ops/ops.h"

namespace noisewright {

Tensor activation_forward(const Tensor& x, int64_t kind) {
  CHECK("activation", x.contiguous(), "x must be contiguous");
  Tensor y = empty_like(x);
  launch<kRepeatable>("activation", {x}, {y}, [=] {
    run_kernel<ActivationParams>("activation", {cpu::activation_forward, cuda::activation_forward},
                                 {x.data(), nullptr, y.data(), x.count(), x.dtype, static_cast<Activation>(kind)});
  });
  return y;
}

Tensor activation_backward(const Tensor& dy, const Tensor& x, int64_t kind) {
  CHECK("activation", x.contiguous() && dy.contiguous() && dy.shape == x.shape && dy.dtype == x.dtype,
        "dy must be like x");
  Tensor dx = empty_like(x);
  launch<kRepeatable>("activationBackward", {dy, x}, {dx}, [=] {
    run_kernel<ActivationParams>("activationBackward", {cpu::activation_backward, cuda::activation_backward},
                                 {x.data(), dy.data(), dx.data(), x.count(), x.dtype, static_cast<Activation>(kind)});
  });
  return dx;
}

Tensor geglu_forward(const Tensor& x) {
  CHECK("geglu", x.contiguous() && x.rank() >= 1 && x.size(-1) % 2 == 0, "x must be contiguous with an even last axis");
  Shape shape = x.shape;
  const int64_t half = shape.back() /= 2;
  Tensor y = empty(x, shape);
  launch<kRepeatable>("geglu", {x}, {y}, [=] {
    const int64_t rows = half > 0 ? y.count() / half : 0;
    run_kernel<GegluParams>("geglu", {cpu::geglu_forward, cuda::geglu_forward},
                            {x.data(), nullptr, y.data(), rows, half, x.dtype});
  });
  return y;
}

Tensor geglu_backward(const Tensor& dy, const Tensor& x) {
  CHECK("geglu", x.contiguous() && dy.contiguous() && 2 * dy.count() == x.count() && dy.dtype == x.dtype,
        "dy must have half the elements of x");
  Tensor dx = empty_like(x);
  launch<kRepeatable>("gegluBackward", {dy, x}, {dx}, [=] {
    const int64_t half = x.size(-1) / 2, rows = half > 0 ? dy.count() / half : 0;
    run_kernel<GegluParams>("gegluBackward", {cpu::geglu_backward, cuda::geglu_backward},
                            {x.data(), dy.data(), dx.data(), rows, half, x.dtype});
  });
  return dx;
}

}  // namespace noisewright

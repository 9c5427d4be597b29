#include "ops/softmax/softmax.h"

#include "core/launch.h"
#include "ops/ops.h"

namespace noisewright {

Tensor softmax_forward(const Tensor& x) {
  CHECK("softmax", x.rank() > 0 && x.contiguous(), "x has an axis and is contiguous");
  const int64_t columns = x.size(-1), rows = x.count() / columns;
  Tensor y = empty_like(x);
  launch<kRepeatable>("softmax", {x}, {y}, [=] {
    run_kernel<SoftmaxForwardParams>("softmax", {cpu::softmax_forward, cuda::softmax_forward},
                                     {x.data(), y.data(), rows, columns, x.dtype});
  });
  return y;
}

Tensor softmax_backward(const Tensor& dy, const Tensor& y) {
  CHECK("softmax backward", dy.contiguous() && y.contiguous() && dy.dtype == y.dtype,
        "dy and y are alike and contiguous");
  const int64_t columns = y.size(-1), rows = y.count() / columns;
  Tensor dx = empty_like(y);
  launch<kRepeatable>("softmax backward", {dy, y}, {dx}, [=] {
    run_kernel<SoftmaxBackwardParams>("softmax backward", {cpu::softmax_backward, cuda::softmax_backward},
                                      {dy.data(), y.data(), dx.data(), rows, columns, y.dtype});
  });
  return dx;
}

}  // namespace noisewright

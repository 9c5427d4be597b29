#include "ops/accumulate/accumulate.h"

#include "core/launch.h"
#include "core/transfer.h"
#include "ops/ops.h"

namespace noisewright {

namespace {

void change(const char* op, InPlaceOp kind, const Tensor& y, const std::optional<Tensor>& x, double factor) {
  CHECK(op, y.contiguous() && (!x || (x->contiguous() && x->shape == y.shape)),
        "expected contiguous tensors of one shape");
  AccumulateParams p{};
  p.count = y.count();
  p.factor = static_cast<float>(factor);
  p.op = kind;
  p.dtype = y.dtype;
  Tensors inputs;
  append(inputs, x);
  if (x) p.x_dtype = x->dtype;
  launch<kRepeatable>(op, inputs, {},
                      [=]() mutable {
                        p.y = y.data();
                        p.x = x ? x->data() : nullptr;
                        run_kernel(op, {cpu::accumulate_forward, cuda::accumulate_forward}, p);
                      },
                      {y});
}

}  // namespace

void accumulate(const Tensor& y, const Tensor& x) { change("accumulate", InPlaceOp::kAdd, y, x, 1); }
void copy_into(const Tensor& y, const Tensor& x) {
  if (x.device() == y.device()) return change("copyInto", InPlaceOp::kCopy, y, x, 1);
  CHECK("copyInto", y.contiguous() && x.contiguous() && x.shape == y.shape, "expected contiguous tensors of one shape");
  copy_between_devices("copyInto", y, x.dtype == y.dtype ? x : cast_forward(x, y.dtype));
}
void scale_in_place(const Tensor& y, double factor) {
  change("scaleInPlace", InPlaceOp::kScale, y, std::nullopt, factor);
}

}  // namespace noisewright

#include "ops/linear/linear.h"

#include "core/launch.h"
#include "ops/cast/expanded_weight.h"
#include "ops/ops.h"

namespace noisewright {

namespace {

using MaybeTensor = std::optional<Tensor>;

void check_matrix(const Tensor& t, const char* name) {
  CHECK("linear", t.contiguous(), name, " must be contiguous");
  CHECK("linear", is_float(t.dtype), name, " must be a float tensor");
}

void* data_of(const MaybeTensor& t) { return t ? t->data() : nullptr; }
float* floats_of(const MaybeTensor& t) { return static_cast<float*>(data_of(t)); }

}  // namespace

std::tuple<Tensor, MaybeTensor, MaybeTensor> linear_forward(const Tensor& x, const Tensor& weight,
                                                            const MaybeTensor& bias, const MaybeTensor& residual,
                                                            const MaybeTensor& lora_down, const MaybeTensor& lora_up,
                                                            int64_t activation, double lora_scale, bool save) {
  check_matrix(x, "x");
  CHECK("linear", weight.contiguous() && is_weight(weight.dtype), "weight must be contiguous floats");
  LinearParams p{};
  p.in = weight.size(1);
  p.out = weight.size(0);
  p.rows = x.count() / p.in;
  p.dtype = x.dtype;
  p.weight_dtype = ExpandedWeight::type_of(weight, x.dtype);
  p.activation = static_cast<Activation>(activation);
  p.lora_scale = static_cast<float>(lora_scale);
  CHECK("linear", x.size(-1) == p.in, "x has ", x.size(-1), " columns, weight has ", p.in);
  if (bias) {
    check_matrix(*bias, "bias");
    p.bias_dtype = bias->dtype;
  }
  if (residual) {
    check_matrix(*residual, "residual");
    CHECK("linear", residual->dtype == x.dtype && residual->count() == p.rows * p.out,
          "residual must be like the result");
  }
  CHECK("linear", lora_down.has_value() == lora_up.has_value(), "loraDown and loraUp come together");
  if (lora_down) {
    check_matrix(*lora_down, "loraDown");
    check_matrix(*lora_up, "loraUp");
    p.rank = lora_down->size(0);
    p.down_dtype = lora_down->dtype;
    p.up_dtype = lora_up->dtype;
  }
  Shape shape = x.shape;
  shape.back() = p.out;
  Tensor y = empty(x, shape);
  MaybeTensor z, pre;
  if (save && lora_down) z = empty(x, {p.rows, p.rank}, DType::kFloat32);
  if (save && p.activation != Activation::kNone) pre = empty(x, shape);
  Tensors inputs{x, weight}, outputs{y};
  for (const auto* t : {&bias, &residual, &lora_down, &lora_up}) append(inputs, *t);
  for (const auto* t : {&z, &pre}) append(outputs, *t);
  launch<kRepeatable>("linear", inputs, outputs, [=]() mutable {
    const ExpandedWeight expanded(weight, p.dtype);
    p.x = x.data();
    p.weight = expanded.data();
    p.bias = data_of(bias);
    p.residual = data_of(residual);
    p.lora_down = data_of(lora_down);
    p.lora_up = data_of(lora_up);
    p.y = y.data();
    p.z = floats_of(z);
    p.pre = data_of(pre);
    run_kernel("linear", {cpu::linear_forward, cuda::linear_forward}, p);
  });
  return {y, z, pre};
}

std::tuple<MaybeTensor, MaybeTensor, MaybeTensor, MaybeTensor, MaybeTensor> linear_backward(
    const Tensor& dy, const MaybeTensor& x, const Tensor& weight, const MaybeTensor& lora_down,
    const MaybeTensor& lora_up, const MaybeTensor& z, const MaybeTensor& pre, int64_t activation, double lora_scale,
    bool needs_x, bool needs_weight, bool needs_bias, bool needs_down, bool needs_up) {
  check_matrix(dy, "dy");
  LinearBackwardParams p{};
  p.in = weight.size(1);
  p.out = weight.size(0);
  p.rows = dy.count() / p.out;
  p.dtype = dy.dtype;
  p.weight_dtype = ExpandedWeight::type_of(weight, dy.dtype);
  p.activation = static_cast<Activation>(activation);
  p.lora_scale = static_cast<float>(lora_scale);
  CHECK("linear", dy.size(-1) == p.out && (!x || x->dtype == dy.dtype), "dy must be like the result");
  CHECK("linear", x || !(needs_weight || needs_down || (needs_up && !z)), "x is missing");
  CHECK("linear", (p.activation != Activation::kNone) == pre.has_value(),
        "the activation's argument is missing or without use");
  if (lora_down) {
    p.rank = lora_down->size(0);
    p.down_dtype = lora_down->dtype;
    p.up_dtype = lora_up->dtype;
  }
  MaybeTensor dx, dweight, dbias, ddown, dup;
  Shape x_shape = dy.shape;
  x_shape.back() = p.in;
  if (needs_x) dx = empty(dy, x_shape);
  if (needs_weight) dweight = empty(dy, weight.shape, DType::kFloat32);
  if (needs_bias) dbias = empty(dy, {p.out}, DType::kFloat32);
  if (needs_down && lora_down) ddown = empty(dy, lora_down->shape, DType::kFloat32);
  if (needs_up && lora_up) dup = empty(dy, lora_up->shape, DType::kFloat32);
  Tensors inputs{dy, weight}, outputs;
  for (const auto* t : {&x, &lora_down, &lora_up, &z, &pre}) append(inputs, *t);
  for (const auto* t : {&dx, &dweight, &dbias, &ddown, &dup}) append(outputs, *t);
  if (outputs.empty()) return {};
  launch<kRepeatable>("linear backward", inputs, outputs, [=]() mutable {
    p.dy = dy.data();
    const ExpandedWeight expanded(weight, p.dtype, dx.has_value());
    p.x = data_of(x);
    p.weight = expanded.data();
    p.lora_down = data_of(lora_down);
    p.lora_up = data_of(lora_up);
    p.z = floats_of(z);
    p.pre = data_of(pre);
    p.dx = data_of(dx);
    p.dweight = floats_of(dweight);
    p.dbias = floats_of(dbias);
    p.ddown = floats_of(ddown);
    p.dup = floats_of(dup);
    run_kernel("linear backward", {cpu::linear_backward, cuda::linear_backward}, p);
  });
  return {dx, dweight, dbias, ddown, dup};
}

}  // namespace noisewright

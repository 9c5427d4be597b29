#include "ops/group_norm/group_norm.h"

#include "core/launch.h"
#include "ops/ops.h"

namespace noisewright {

namespace {

void check_inputs(const Tensor& x, const Tensor& weight, const Tensor& bias, int64_t groups) {
  CHECK("groupNorm", x.contiguous() && weight.contiguous() && bias.contiguous(), "tensors must be contiguous");
  CHECK("groupNorm", x.rank() >= 2 && groups > 0 && x.size(-1) % groups == 0, "the channels must divide by the groups");
  CHECK("groupNorm", weight.count() == x.size(-1) && bias.count() == x.size(-1), "weight and bias must be [c]");
}

int64_t pixels_of(const Tensor& x) {
  const int64_t outer = x.size(0) * x.size(-1);
  return outer > 0 ? x.count() / outer : 0;
}

}  // namespace

std::tuple<Tensor, Tensor, Tensor> group_norm_forward(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                                      int64_t groups, double eps, bool silu) {
  check_inputs(x, weight, bias, groups);
  Tensor y = empty_like(x), mean = empty(x, {x.size(0), groups}, DType::kFloat32), rstd = empty_like(mean);
  GroupNormParams p{};
  p.n = x.size(0);
  p.pixels = pixels_of(x);
  p.c = x.size(-1);
  p.groups = groups;
  p.eps = static_cast<float>(eps);
  p.silu = silu;
  p.dtype = x.dtype;
  p.weight_dtype = weight.dtype;
  p.bias_dtype = bias.dtype;
  const char* op = silu ? "groupNormSilu" : "groupNorm";
  launch<kRepeatable>(op, {x, weight, bias}, {y, mean, rstd}, [=]() mutable {
    p.x = x.data();
    p.weight = weight.data();
    p.bias = bias.data();
    p.y = y.data();
    p.mean = mean.data_as<float>();
    p.rstd = rstd.data_as<float>();
    run_kernel(op, {cpu::group_norm_forward, cuda::group_norm_forward}, p);
  });
  return {y, mean, rstd};
}

std::tuple<std::optional<Tensor>, std::optional<Tensor>, std::optional<Tensor>> group_norm_backward(
    const Tensor& dy, const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& mean, const Tensor& rstd,
    int64_t groups, bool silu, bool needs_x, bool needs_weight, bool needs_bias) {
  check_inputs(x, weight, bias, groups);
  CHECK("groupNorm", dy.contiguous() && dy.shape == x.shape && dy.dtype == x.dtype, "dy must be like x");
  CHECK("groupNorm", mean.count() == x.size(0) * groups && rstd.count() == mean.count(),
        "mean and rstd must be [n, groups]");
  std::optional<Tensor> dx, dweight, dbias;
  if (needs_x) dx = empty_like(x);
  if (needs_weight) dweight = empty(weight, weight.shape, DType::kFloat32);
  if (needs_bias) dbias = empty(bias, bias.shape, DType::kFloat32);
  if (!dx && !dweight && !dbias) return {dx, dweight, dbias};
  GroupNormBackwardParams p{};
  p.n = x.size(0);
  p.pixels = pixels_of(x);
  p.c = x.size(-1);
  p.groups = groups;
  p.silu = silu;
  p.dtype = x.dtype;
  p.weight_dtype = weight.dtype;
  p.bias_dtype = bias.dtype;
  Tensors outputs;
  append(outputs, dx);
  append(outputs, dweight);
  append(outputs, dbias);
  const char* op = silu ? "groupNormSiluBackward" : "groupNormBackward";
  launch<kRepeatable>(op, {dy, x, weight, bias, mean, rstd}, outputs, [=]() mutable {
    p.dy = dy.data();
    p.x = x.data();
    p.weight = weight.data();
    p.bias = bias.data();
    p.mean = mean.data_as<float>();
    p.rstd = rstd.data_as<float>();
    p.dx = dx ? dx->data() : nullptr;
    p.dweight = dweight ? dweight->data_as<float>() : nullptr;
    p.dbias = dbias ? dbias->data_as<float>() : nullptr;
    run_kernel(op, {cpu::group_norm_backward, cuda::group_norm_backward}, p);
  });
  return {dx, dweight, dbias};
}

}  // namespace noisewright

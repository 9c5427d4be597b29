#include "ops/layer_norm/layer_norm.h"

#include "core/launch.h"
#include "ops/ops.h"

namespace noisewright {

namespace {

Shape row_shape(const Tensor& x) { return Shape(x.shape.begin(), x.shape.end() - 1); }

}  // namespace

std::tuple<Tensor, Tensor, Tensor> layer_norm_forward(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                                      double eps) {
  CHECK("layerNorm", x.contiguous() && weight.contiguous() && bias.contiguous(), "tensors must be contiguous");
  CHECK("layerNorm", x.rank() >= 1 && weight.count() == x.size(-1) && bias.count() == x.size(-1),
        "weight and bias must be [c]");
  Tensor y = empty_like(x), mean = empty(x, row_shape(x), DType::kFloat32), rstd = empty_like(mean);
  LayerNormParams p{};
  p.rows = mean.count();
  p.c = x.size(-1);
  p.eps = static_cast<float>(eps);
  p.dtype = x.dtype;
  p.weight_dtype = weight.dtype;
  p.bias_dtype = bias.dtype;
  launch<kRepeatable>("layerNorm", {x, weight, bias}, {y, mean, rstd}, [=]() mutable {
    p.x = x.data();
    p.weight = weight.data();
    p.bias = bias.data();
    p.y = y.data();
    p.mean = mean.data_as<float>();
    p.rstd = rstd.data_as<float>();
    run_kernel("layerNorm", {cpu::layer_norm_forward, cuda::layer_norm_forward}, p);
  });
  return {y, mean, rstd};
}

std::tuple<std::optional<Tensor>, std::optional<Tensor>, std::optional<Tensor>> layer_norm_backward(
    const Tensor& dy, const Tensor& x, const Tensor& weight, const Tensor& mean, const Tensor& rstd, bool needs_x,
    bool needs_weight, bool needs_bias) {
  CHECK("layerNorm", dy.contiguous() && x.contiguous() && dy.shape == x.shape && dy.dtype == x.dtype,
        "dy must be like x");
  CHECK("layerNorm", weight.contiguous() && weight.count() == x.size(-1), "weight must be [c]");
  CHECK("layerNorm", mean.count() == count_of(row_shape(x)) && rstd.count() == mean.count(),
        "mean and rstd must be [rows]");
  std::optional<Tensor> dx, dweight, dbias;
  if (needs_x) dx = empty_like(x);
  if (needs_weight) dweight = empty(weight, weight.shape, DType::kFloat32);
  if (needs_bias) dbias = empty(weight, weight.shape, DType::kFloat32);
  if (!dx && !dweight && !dbias) return {dx, dweight, dbias};
  LayerNormBackwardParams p{};
  p.rows = mean.count();
  p.c = x.size(-1);
  p.dtype = x.dtype;
  p.weight_dtype = weight.dtype;
  Tensors outputs;
  append(outputs, dx);
  append(outputs, dweight);
  append(outputs, dbias);
  launch<kRepeatable>("layerNormBackward", {dy, x, weight, mean, rstd}, outputs, [=]() mutable {
    p.dy = dy.data();
    p.x = x.data();
    p.weight = weight.data();
    p.mean = mean.data_as<float>();
    p.rstd = rstd.data_as<float>();
    p.dx = dx ? dx->data() : nullptr;
    p.dweight = dweight ? dweight->data_as<float>() : nullptr;
    p.dbias = dbias ? dbias->data_as<float>() : nullptr;
    run_kernel("layerNormBackward", {cpu::layer_norm_backward, cuda::layer_norm_backward}, p);
  });
  return {dx, dweight, dbias};
}

}  // namespace noisewright

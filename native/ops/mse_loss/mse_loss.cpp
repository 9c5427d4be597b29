#include "ops/mse_loss/mse_loss.h"

#include "core/launch.h"
#include "ops/ops.h"

namespace noisewright {

namespace {

MseLossParams describe(const Tensor& prediction, const Tensor& target, const std::optional<Tensor>& weights) {
  CHECK("mseLoss", prediction.rank() >= 1 && prediction.count() > 0, "prediction needs a batch axis and elements");
  CHECK("mseLoss", prediction.count() == target.count(), "prediction and target differ in size");
  CHECK("mseLoss", prediction.contiguous() && target.contiguous(), "expected contiguous tensors");
  CHECK("mseLoss",
        !weights ||
            (weights->dtype == DType::kFloat32 && weights->count() == prediction.size(0) && weights->contiguous()),
        "weights must be float32 [n]");
  MseLossParams p{};
  p.samples = prediction.size(0);
  p.size = prediction.count() / p.samples;
  p.dtype = prediction.dtype;
  p.target_dtype = target.dtype;
  return p;
}

}  // namespace

Tensor mse_loss_forward(const Tensor& prediction, const Tensor& target, const std::optional<Tensor>& weights) {
  MseLossParams p = describe(prediction, target, weights);
  Tensor loss = empty(prediction, {}, DType::kFloat32);
  Tensors inputs = {prediction, target};
  append(inputs, weights);
  launch("mseLoss", inputs, {loss}, [=]() mutable {
    p.prediction = prediction.data();
    p.target = target.data();
    p.weights = weights ? weights->data_as<float>() : nullptr;
    p.loss = loss.data_as<float>();
    run_kernel("mseLoss", {cpu::mse_loss_forward}, p);
  });
  return loss;
}

Tensor mse_loss_backward(const Tensor& dloss, const Tensor& prediction, const Tensor& target,
                         const std::optional<Tensor>& weights) {
  MseLossParams p = describe(prediction, target, weights);
  CHECK("mseLoss", dloss.count() == 1 && dloss.dtype == DType::kFloat32, "the gradient of the loss is one float32");
  Tensor dprediction = empty_like(prediction);
  Tensors inputs = {dloss, prediction, target};
  append(inputs, weights);
  launch("mseLossBackward", inputs, {dprediction}, [=]() mutable {
    p.prediction = prediction.data();
    p.target = target.data();
    p.weights = weights ? weights->data_as<float>() : nullptr;
    p.dloss = dloss.data_as<float>();
    p.dprediction = dprediction.data();
    run_kernel("mseLoss", {cpu::mse_loss_backward}, p);
  });
  return dprediction;
}

}  // namespace noisewright

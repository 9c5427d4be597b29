#include "ops/element_loss/element_loss.h"

#include "core/launch.h"
#include "ops/ops.h"

namespace noisewright {

namespace {

bool is_one_for_each(const std::optional<Tensor>& numbers, int64_t count) {
  return !numbers || (numbers->dtype == DType::kFloat32 && numbers->count() == count && numbers->contiguous());
}

ElementLossParams describe(const Tensor& prediction, const Tensor& target, const std::optional<Tensor>& weights,
                           const std::optional<Tensor>& thresholds, const std::optional<Tensor>& mask, int64_t kind) {
  CHECK("elementLoss", prediction.rank() >= 1 && prediction.count() > 0, "prediction needs a batch axis and elements");
  CHECK("elementLoss", prediction.count() == target.count(), "prediction and target differ in size");
  CHECK("elementLoss", prediction.contiguous() && target.contiguous(), "expected contiguous tensors");
  CHECK("elementLoss", kind >= 0 && kind <= static_cast<int64_t>(ElementLoss::kSmoothL1), "no such kind");
  ElementLossParams p{};
  p.samples = prediction.size(0);
  p.size = prediction.count() / p.samples;
  p.channels = mask ? prediction.size(prediction.rank() - 1) : 1;
  p.kind = static_cast<ElementLoss>(kind);
  p.dtype = prediction.dtype;
  p.target_dtype = target.dtype;
  CHECK("elementLoss", is_one_for_each(weights, p.samples), "weights must be float32 [n]");
  CHECK("elementLoss", is_one_for_each(thresholds, p.samples), "thresholds must be float32 [n]");
  CHECK("elementLoss", is_one_for_each(mask, prediction.count() / p.channels), "the mask must be float32 [n, ...]");
  CHECK("elementLoss", thresholds.has_value() == (p.kind >= ElementLoss::kHuber), "thresholds belong to two kinds");
  return p;
}

const float* data_of(const std::optional<Tensor>& numbers) { return numbers ? numbers->data_as<float>() : nullptr; }

}  // namespace

Tensor element_loss_forward(const Tensor& prediction, const Tensor& target, const std::optional<Tensor>& weights,
                            const std::optional<Tensor>& thresholds, const std::optional<Tensor>& mask, int64_t kind) {
  ElementLossParams p = describe(prediction, target, weights, thresholds, mask, kind);
  Tensor loss = empty(prediction, {}, DType::kFloat32);
  Tensors inputs = {prediction, target};
  for (const auto& numbers : {weights, thresholds, mask}) append(inputs, numbers);
  launch<kRepeatable>("elementLoss", inputs, {loss}, [=]() mutable {
    p.prediction = prediction.data();
    p.target = target.data();
    p.weights = data_of(weights);
    p.thresholds = data_of(thresholds);
    p.mask = data_of(mask);
    p.loss = loss.data_as<float>();
    run_kernel("elementLoss", {cpu::element_loss_forward, cuda::element_loss_forward}, p);
  });
  return loss;
}

Tensor element_loss_backward(const Tensor& dloss, const Tensor& prediction, const Tensor& target,
                             const std::optional<Tensor>& weights, const std::optional<Tensor>& thresholds,
                             const std::optional<Tensor>& mask, int64_t kind) {
  ElementLossParams p = describe(prediction, target, weights, thresholds, mask, kind);
  CHECK("elementLoss", dloss.count() == 1 && dloss.dtype == DType::kFloat32, "the gradient of the loss is one float32");
  Tensor dprediction = empty_like(prediction);
  Tensors inputs = {dloss, prediction, target};
  for (const auto& numbers : {weights, thresholds, mask}) append(inputs, numbers);
  launch<kRepeatable>("elementLossBackward", inputs, {dprediction}, [=]() mutable {
    p.prediction = prediction.data();
    p.target = target.data();
    p.weights = data_of(weights);
    p.thresholds = data_of(thresholds);
    p.mask = data_of(mask);
    p.dloss = dloss.data_as<float>();
    p.dprediction = dprediction.data();
    run_kernel("elementLoss", {cpu::element_loss_backward, cuda::element_loss_backward}, p);
  });
  return dprediction;
}

}  // namespace noisewright

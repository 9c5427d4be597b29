#include "ops/adam_w/adam_w.h"

#include <cmath>

#include "core/launch.h"
#include "ops/ops.h"

namespace noisewright {

namespace {

// What the step keeps alive until it has run.
struct AdamWTensors {
  std::vector<Tensor> params, gradients, state1, state2;
  std::vector<std::optional<Tensor>> absmax1, absmax2, copies;
  std::optional<Tensor> clip;
};

void check_entry(const AdamWTensors& t, size_t i) {
  const int64_t count = t.params[i].count(), blocks = (count + kQuantizationBlock - 1) / kQuantizationBlock;
  const bool codes = t.absmax1[i].has_value();
  const DType state = codes ? DType::kUint8 : DType::kFloat32;
  const auto fits = [](const Tensor& x, DType dtype, int64_t n) {
    return x.dtype == dtype && x.count() == n && x.contiguous();
  };
  CHECK("adamW", fits(t.params[i], DType::kFloat32, count), "parameter ", i, " must be contiguous float32");
  CHECK("adamW", fits(t.gradients[i], DType::kFloat32, count), "gradient ", i,
        " must be contiguous float32 like its parameter");
  CHECK("adamW", fits(t.state1[i], state, count) && fits(t.state2[i], state, count), "states ", i,
        " do not fit their parameter");
  CHECK("adamW", codes == t.absmax2[i].has_value(), "both states ", i, " must be of one kind");
  CHECK("adamW",
        !codes || (fits(*t.absmax1[i], DType::kFloat32, blocks) && fits(*t.absmax2[i], DType::kFloat32, blocks)),
        "scales ", i, " must be float32, one for every 256 elements");
  CHECK("adamW", !t.copies[i] || fits(*t.copies[i], DType::kBFloat16, count), "copy ", i,
        " must be bfloat16 like its parameter");
}

}  // namespace

void adam_w_step(std::vector<Tensor> params, std::vector<Tensor> gradients, std::vector<Tensor> state1,
                 std::vector<Tensor> state2, std::vector<std::optional<Tensor>> absmax1,
                 std::vector<std::optional<Tensor>> absmax2, std::vector<std::optional<Tensor>> copies,
                 const std::vector<int64_t>& groups, const std::vector<int64_t>& steps,
                 const std::vector<double>& hyperparameters, const std::optional<Tensor>& clip, bool decay_after,
                 bool skip_invalid) {
  const size_t n = params.size();
  CHECK("adamW",
        gradients.size() == n && state1.size() == n && state2.size() == n && absmax1.size() == n &&
            absmax2.size() == n && copies.size() == n && groups.size() == n && steps.size() == n,
        "its lists differ in length");
  if (n == 0) return;
  CHECK("adamW", !clip || (clip->dtype == DType::kFloat32 && clip->count() == 2),
        "clip must be what gradientNorm returns");
  auto tensors = std::make_shared<AdamWTensors>(AdamWTensors{std::move(params), std::move(gradients), std::move(state1),
                                                             std::move(state2), std::move(absmax1), std::move(absmax2),
                                                             std::move(copies), clip});
  AdamWParams p{};
  p.entry_count = static_cast<int64_t>(n);
  p.signed_map = &signed_quantization_map();
  p.unsigned_map = &unsigned_quantization_map();
  p.decay_after = decay_after;
  p.skip_invalid = skip_invalid;
  std::vector<AdamWEntry> entries(n);
  Tensors inputs = tensors->gradients, updates;
  append(inputs, clip);
  for (size_t i = 0; i < n; i++) {
    check_entry(*tensors, i);
    CHECK("adamW", groups[i] >= 0 && static_cast<size_t>(groups[i]) * 5 + 5 <= hyperparameters.size(),
          "group out of range");
    const double* h = hyperparameters.data() + groups[i] * 5;  // lr, beta1, beta2, eps, weight decay
    const double k1 = 1 - std::pow(h[1], static_cast<double>(steps[i]));
    const double k2 = std::sqrt(1 - std::pow(h[2], static_cast<double>(steps[i])));
    AdamWEntry& e = entries[i];
    e.count = tensors->params[i].count();
    e.first_task = p.task_count;
    p.task_count += (e.count + kAdamWTask - 1) / kAdamWTask;
    e.beta1 = static_cast<float>(h[1]);
    e.beta2 = static_cast<float>(h[2]);
    e.step_size = static_cast<float>(h[0] * k2 / k1);
    e.eps = static_cast<float>(k2 * h[3]);
    e.decay = static_cast<float>(1 - h[0] * h[4]);
    for (const Tensor* x : {&tensors->params[i], &tensors->state1[i], &tensors->state2[i]}) updates.push_back(*x);
    for (const auto* x : {&tensors->absmax1[i], &tensors->absmax2[i], &tensors->copies[i]}) append(updates, *x);
  }
  launch(
      "adamW", std::move(inputs), {},
      [p, tensors, entries = std::move(entries)]() mutable {
        const auto data_of = [](const std::optional<Tensor>& x) { return x ? x->data() : nullptr; };
        for (size_t i = 0; i < entries.size(); i++) {
          AdamWEntry& e = entries[i];
          e.param = tensors->params[i].data_as<float>();
          e.gradient = tensors->gradients[i].data_as<float>();
          e.state1 = tensors->state1[i].data();
          e.state2 = tensors->state2[i].data();
          e.absmax1 = static_cast<float*>(data_of(tensors->absmax1[i]));
          e.absmax2 = static_cast<float*>(data_of(tensors->absmax2[i]));
          e.copy = static_cast<bfloat16*>(data_of(tensors->copies[i]));
        }
        p.entries = entries.data();
        p.clip = static_cast<const float*>(data_of(tensors->clip));
        run_kernel("adamW", {cpu::adam_w_step, cuda::adam_w_step}, p);
      },
      std::move(updates));
}

}  // namespace noisewright

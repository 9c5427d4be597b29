#include "ops/optimizer_step/optimizer_step.h"

#include <cstring>

#include "core/launch.h"
#include "ops/ops.h"

namespace noisewright {

namespace {

constexpr const char* kOp = "optimizerStep";

int rule_named(const std::string& name) {
  constexpr int count = sizeof kOptimizerRules / sizeof kOptimizerRules[0];
  for (int i = 0; i < count; i++)
    if (name == kOptimizerRules[i].name) return i;
  fail(ErrorKind::kInternal, kOp, "there is no rule \"", name, "\"");
}

// What the step keeps alive until it has run; states and scales lie parameter by parameter.
struct OptimizerTensors {
  std::vector<Tensor> params, gradients;
  std::vector<std::optional<Tensor>> states, absmax, copies;
  std::optional<Tensor> clip;
};

void check_entry(const OptimizerTensors& t, size_t i, size_t states) {
  const int64_t count = t.params[i].count(), blocks = (count + kQuantizationBlock - 1) / kQuantizationBlock;
  const auto fits = [](const Tensor& x, DType dtype, int64_t n) {
    return x.dtype == dtype && x.count() == n && x.contiguous();
  };
  CHECK(kOp, is_float(t.params[i].dtype) && t.params[i].contiguous(), "parameter ", i,
        " must be a contiguous float tensor");
  CHECK(kOp, fits(t.gradients[i], DType::kFloat32, count), "gradient ", i,
        " must be contiguous float32 like its parameter");
  CHECK(kOp, !t.copies[i] || fits(*t.copies[i], DType::kBFloat16, count) || fits(*t.copies[i], DType::kFloat16, count),
        "copy ", i, " must be bfloat16 or float16 like its parameter");
  const bool codes = states > 0 && t.absmax[i * states].has_value();
  for (size_t k = i * states; k < (i + 1) * states; k++) {
    CHECK(kOp, t.absmax[k].has_value() == (codes && t.states[k].has_value()), "the states of parameter ", i,
          " must be of one kind");
    CHECK(kOp, !t.states[k] || fits(*t.states[k], codes ? DType::kUint8 : DType::kFloat32, count),
          "a state of parameter ", i, " does not fit it");
    CHECK(kOp, !t.absmax[k] || fits(*t.absmax[k], DType::kFloat32, blocks), "the scales of parameter ", i,
          " must be float32, one for every 256 elements");
  }
}

}  // namespace

void optimizer_step(const std::string& rule, std::vector<Tensor> params, std::vector<Tensor> gradients,
                    std::vector<std::optional<Tensor>> states, std::vector<std::optional<Tensor>> absmax,
                    std::vector<std::optional<Tensor>> copies, const std::vector<int64_t>& streams,
                    const std::vector<int64_t>& rows, const std::vector<double>& constants,
                    const std::optional<Tensor>& clip, bool decay_after, bool skip_invalid, bool stochastic_rounding,
                    uint64_t seed) {
  OptimizerParams p{};
  p.rule = rule_named(rule);
  const size_t n = params.size(), state_count = static_cast<size_t>(kOptimizerRules[p.rule].states);
  CHECK(kOp,
        gradients.size() == n && states.size() == n * state_count && absmax.size() == n * state_count &&
            copies.size() == n && streams.size() == n && rows.size() == n,
        "its lists differ in length");
  if (n == 0) return;
  CHECK(kOp, !clip || (clip->dtype == DType::kFloat32 && clip->count() == 2), "clip must be what gradientNorm returns");
  auto tensors = std::make_shared<OptimizerTensors>(OptimizerTensors{
      std::move(params), std::move(gradients), std::move(states), std::move(absmax), std::move(copies), clip});
  p.entry_count = static_cast<int64_t>(n);
  p.signed_map = &signed_quantization_map();
  p.unsigned_map = &unsigned_quantization_map();
  for (size_t k = 0; k < state_count; k++) p.signed_states |= kOptimizerRules[p.rule].is_signed[k] << k;
  p.seed = seed;
  p.decay_after = decay_after;
  p.skip_invalid = skip_invalid;
  p.stochastic_rounding = stochastic_rounding;
  constexpr size_t row = 3 + kOptimizerConstants;
  std::vector<OptimizerEntry> entries(n);
  Tensors inputs = tensors->gradients, updates;
  append(inputs, clip);
  for (size_t i = 0; i < n; i++) {
    check_entry(*tensors, i, state_count);
    CHECK(kOp, rows[i] >= 0 && static_cast<size_t>(rows[i] + 1) * row <= constants.size(), "a row is out of range");
    const double* values = constants.data() + static_cast<size_t>(rows[i]) * row;
    OptimizerEntry& e = entries[i];
    e.count = tensors->params[i].count();
    e.first_task = p.task_count;
    p.task_count += (e.count + kOptimizerTask - 1) / kOptimizerTask;
    e.stream = static_cast<uint64_t>(streams[i]);
    e.dtype = tensors->params[i].dtype;
    if (tensors->copies[i]) e.copy_dtype = tensors->copies[i]->dtype;
    e.l2 = static_cast<float>(values[0]);
    e.decay = static_cast<float>(values[1]);
    e.mode = static_cast<int>(values[2]);
    for (int k = 0; k < kOptimizerConstants; k++) e.k[k] = static_cast<float>(values[3 + k]);
    updates.push_back(tensors->params[i]);
    append(updates, tensors->copies[i]);
    for (size_t k = i * state_count; k < (i + 1) * state_count; k++) {
      append(updates, tensors->states[k]);
      append(updates, tensors->absmax[k]);
    }
  }
  launch(
      kOp, std::move(inputs), {},
      [p, tensors, state_count, entries = std::move(entries)]() mutable {
        const auto data_of = [](const std::optional<Tensor>& x) { return x ? x->data() : nullptr; };
        for (size_t i = 0; i < entries.size(); i++) {
          OptimizerEntry& e = entries[i];
          e.param = tensors->params[i].data();
          e.gradient = tensors->gradients[i].data_as<float>();
          e.copy = data_of(tensors->copies[i]);
          for (size_t k = 0; k < state_count; k++) {
            e.state[k] = data_of(tensors->states[i * state_count + k]);
            e.absmax[k] = static_cast<float*>(data_of(tensors->absmax[i * state_count + k]));
          }
        }
        p.entries = entries.data();
        p.clip = static_cast<const float*>(data_of(tensors->clip));
        run_kernel(kOp, {cpu::optimizer_step, cuda::optimizer_step}, p);
      },
      std::move(updates));
}

}  // namespace noisewright

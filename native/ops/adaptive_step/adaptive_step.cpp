#include "ops/adaptive_step/adaptive_step.h"

#include "core/launch.h"
#include "ops/ops.h"

namespace noisewright {

namespace {

constexpr const char* kOp = "adaptiveStep";

int rule_named(const std::string& name) {
  constexpr int count = sizeof kAdaptiveRules / sizeof kAdaptiveRules[0];
  for (int i = 0; i < count; i++)
    if (name == kAdaptiveRules[i].name) return i;
  fail(ErrorKind::kInternal, kOp, "there is no rule \"", name, "\"");
}

// What the step keeps alive until it has run; states lie parameter by parameter.
struct AdaptiveTensors {
  std::vector<Tensor> params, gradients;
  std::vector<std::optional<Tensor>> states, copies;
  std::optional<Tensor> clip;
  Tensor scalars;
};

bool fits(const Tensor& x, DType dtype, int64_t count) {
  return x.dtype == dtype && x.count() == count && x.contiguous();
}

void check_entry(const AdaptiveTensors& t, size_t i, size_t states, int64_t slice) {
  const int64_t count = t.params[i].count(), sliced = (count + slice - 1) / slice;
  CHECK(kOp, is_float(t.params[i].dtype) && fits(t.params[i], t.params[i].dtype, count), "parameter ", i,
        " must be a contiguous float tensor");
  CHECK(kOp, fits(t.gradients[i], DType::kFloat32, count), "gradient ", i,
        " must be contiguous float32 like its parameter");
  CHECK(kOp, !t.copies[i] || fits(*t.copies[i], DType::kBFloat16, count) || fits(*t.copies[i], DType::kFloat16, count),
        "copy ", i, " must be bfloat16 or float16 like its parameter");
  for (size_t k = 0; k < states; k++) {
    const auto& state = t.states[i * states + k];
    CHECK(kOp, !state || fits(*state, DType::kFloat32, slice > 1 && k >= 2 ? sliced : count), "state ", k + 1,
          " of parameter ", i, " does not fit it");
  }
}

AdaptiveSettings settings_of(const std::vector<double>& numbers, int64_t switches) {
  CHECK(kOp, numbers.size() == 8, "settings must be 8 numbers");
  const auto is_on = [&](int bit) { return (switches >> bit & 1) != 0; };
  return {numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5],
          numbers[6], numbers[7], is_on(0),   is_on(1),   is_on(2),   is_on(3)};
}

}  // namespace

void adaptive_step(const std::string& rule, std::vector<Tensor> params, std::vector<Tensor> gradients,
                   std::vector<std::optional<Tensor>> states, std::vector<std::optional<Tensor>> copies,
                   const std::vector<int64_t>& rows, const std::vector<int64_t>& fresh,
                   const std::vector<double>& groups, const std::vector<double>& settings, int64_t switches,
                   int64_t slice, const Tensor& scalars, const std::optional<Tensor>& clip, bool stochastic_rounding,
                   uint64_t seed) {
  AdaptiveStepParams p{};
  p.rule = rule_named(rule);
  const size_t n = params.size(), state_count = static_cast<size_t>(kAdaptiveRules[p.rule].states);
  CHECK(kOp,
        gradients.size() == n && states.size() == n * state_count && copies.size() == n && rows.size() == n &&
            fresh.size() == n,
        "its lists differ in length");
  CHECK(kOp, slice == 1 || (slice > 1 && rule == "prodigy"), "only prodigy slices its states");
  CHECK(kOp, fits(scalars, DType::kInt64, kAdaptiveScalars), "scalars must be int64 [", kAdaptiveScalars, "]");
  CHECK(kOp, !clip || (clip->dtype == DType::kFloat32 && clip->count() == 2), "clip must be what gradientNorm returns");
  if (n == 0) return;
  auto tensors = std::make_shared<AdaptiveTensors>(
      AdaptiveTensors{std::move(params), std::move(gradients), std::move(states), std::move(copies), clip, scalars});
  p.entry_count = static_cast<int64_t>(n);
  p.settings = settings_of(settings, switches);
  p.slice = slice;
  p.seed = seed;
  p.stochastic_rounding = stochastic_rounding;
  std::vector<AdaptiveEntry> entries(n);
  Tensors inputs = tensors->gradients, updates = {scalars};
  append(inputs, clip);
  for (size_t i = 0; i < n; i++) {
    check_entry(*tensors, i, state_count, slice);
    CHECK(kOp, rows[i] >= 0 && static_cast<size_t>(rows[i] + 1) * 3 <= groups.size(), "a row is out of range");
    const double* group = groups.data() + rows[i] * 3;
    AdaptiveEntry& e = entries[i];
    e.count = tensors->params[i].count();
    e.first_task = p.task_count;
    e.group = {group[0], group[1], group[2]};
    e.fresh = fresh[i] != 0;
    e.stream = i;
    e.dtype = tensors->params[i].dtype;
    if (tensors->copies[i]) e.copy_dtype = tensors->copies[i]->dtype;
    p.task_count += (e.count + kAdaptiveTask - 1) / kAdaptiveTask;
    updates.push_back(tensors->params[i]);
    append(updates, tensors->copies[i]);
    for (size_t k = 0; k < state_count; k++) append(updates, tensors->states[i * state_count + k]);
  }
  launch(
      kOp, std::move(inputs), {},
      [p, tensors, state_count, entries = std::move(entries)]() mutable {
        for (size_t i = 0; i < entries.size(); i++) {
          AdaptiveEntry& e = entries[i];
          e.param = tensors->params[i].data();
          e.gradient = tensors->gradients[i].data_as<float>();
          e.copy = tensors->copies[i] ? tensors->copies[i]->data() : nullptr;
          for (size_t k = 0; k < state_count; k++) {
            const auto& state = tensors->states[i * state_count + k];
            e.state[k] = state ? state->data_as<float>() : nullptr;
          }
        }
        p.entries = entries.data();
        p.scalars = tensors->scalars.data_as<AdaptiveScalars>();
        p.clip = tensors->clip ? tensors->clip->data_as<float>() : nullptr;
        run_kernel(kOp, {cpu::adaptive_step, cuda::adaptive_step}, p);
      },
      std::move(updates));
}

}  // namespace noisewright

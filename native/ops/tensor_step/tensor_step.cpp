#include "ops/tensor_step/tensor_step.h"

#include "core/launch.h"
#include "ops/ops.h"

namespace noisewright {

namespace {

constexpr const char* kOp = "tensorStep";

int rule_named(const std::string& name) {
  constexpr int count = sizeof kTensorRules / sizeof kTensorRules[0];
  for (int i = 0; i < count; i++)
    if (name == kTensorRules[i].name) return i;
  fail(ErrorKind::kInternal, kOp, "there is no rule \"", name, "\"");
}

// What the step keeps alive until it has run; states lie parameter by parameter.
struct StepTensors {
  std::vector<Tensor> params, gradients;
  std::vector<std::optional<Tensor>> states, copies;
  std::optional<Tensor> clip, rates;
};

// Elements that a state must have: which = 0 rows, 1 columns, 2 all.
int64_t state_size(const TensorStepEntry& e, int which) {
  if (e.outer == 0) return which == 1 ? 0 : e.count;
  return which == 0 ? e.outer * e.rows * e.inner : which == 1 ? e.outer * e.width() : e.count;
}

void check_entry(const StepTensors& t, const TensorStepEntry& e, size_t i, TensorRule rule, size_t states) {
  const auto fits = [](const Tensor& x, DType dtype, int64_t n) {
    return x.dtype == dtype && x.count() == n && x.contiguous();
  };
  CHECK(kOp, is_float(t.params[i].dtype) && fits(t.params[i], t.params[i].dtype, e.count), "parameter ", i,
        " must be a contiguous float tensor");
  CHECK(kOp, fits(t.gradients[i], DType::kFloat32, e.count), "gradient ", i,
        " must be contiguous float32 like its parameter");
  CHECK(kOp,
        !t.copies[i] || fits(*t.copies[i], DType::kBFloat16, e.count) || fits(*t.copies[i], DType::kFloat16, e.count),
        "copy ", i, " must be bfloat16 or float16 like its parameter");
  CHECK(kOp, e.outer == 0 || e.outer * e.rows * e.width() == e.count, "the axes of parameter ", i, " do not fit it");
  for (size_t k = 0; k < states; k++) {
    const bool all = rule == TensorRule::kStableAdamW || k == 2;
    const int which = all ? 2 : static_cast<int>(k % 3);
    // CAME corrects factored tensors alone.
    const int64_t size = k > 2 && e.outer == 0 ? 0 : state_size(e, which);
    const std::optional<Tensor>& state = t.states[i * states + k];
    const bool optional = size == 0 || (rule == TensorRule::kAdaFactor && k == 2);
    CHECK(kOp, state ? fits(*state, DType::kFloat32, size) : optional, "state ", k, " of parameter ", i,
          " does not fit it");
  }
}

}  // namespace

void tensor_step(const std::string& rule, std::vector<Tensor> params, std::vector<Tensor> gradients,
                 std::vector<std::optional<Tensor>> states, std::vector<std::optional<Tensor>> copies,
                 const std::vector<int64_t>& streams, const std::vector<int64_t>& axes,
                 const std::vector<int64_t>& rows, const std::vector<double>& constants,
                 const std::vector<int64_t>& rate_index, const std::optional<Tensor>& rates,
                 const std::optional<Tensor>& clip, bool stochastic_rounding, uint64_t seed) {
  const int rule_index = rule_named(rule);
  const size_t n = params.size(), state_count = static_cast<size_t>(kTensorRules[rule_index].states);
  TensorStepParams p{};
  p.rule = static_cast<TensorRule>(rule_index);
  p.rounding = {seed, stochastic_rounding};
  CHECK(kOp,
        gradients.size() == n && states.size() == n * state_count && copies.size() == n && streams.size() == n &&
            axes.size() == n * 4 && rows.size() == n && rate_index.size() == n,
        "its lists differ in length");
  if (n == 0) return;
  CHECK(kOp, !clip || (clip->dtype == DType::kFloat32 && clip->count() == 2), "clip must be what gradientNorm returns");
  CHECK(kOp, !rates || (rates->dtype == DType::kFloat32 && rates->contiguous()), "rates must be float32");
  auto tensors = std::make_shared<StepTensors>(
      StepTensors{std::move(params), std::move(gradients), std::move(states), std::move(copies), clip, rates});
  p.entry_count = static_cast<int64_t>(n);
  std::vector<TensorStepEntry> entries(n + 1);
  Tensors inputs = tensors->gradients, updates;
  append(inputs, clip);
  for (size_t i = 0; i < n; i++) {
    TensorStepEntry &e = entries[i], &next = entries[i + 1];
    e.count = tensors->params[i].count();
    e.stream = static_cast<uint64_t>(streams[i]);
    e.dtype = tensors->params[i].dtype;
    if (tensors->copies[i]) e.copy_dtype = tensors->copies[i]->dtype;
    e.outer = axes[4 * i];
    e.rows = axes[4 * i + 1];
    e.columns = axes[4 * i + 2];
    e.inner = axes[4 * i + 3];
    check_entry(*tensors, e, i, p.rule, state_count);
    CHECK(kOp, rows[i] >= 0 && static_cast<size_t>(rows[i] + 1) * kTensorConstants <= constants.size(),
          "a row is out of range");
    CHECK(kOp, rate_index[i] < (rates ? rates->count() : 0), "the place of a rate is out of range");
    for (int k = 0; k < kTensorConstants; k++)
      e.k[k] = static_cast<float>(constants[static_cast<size_t>(rows[i]) * kTensorConstants + static_cast<size_t>(k)]);
    // Enough rows that partial sums of columns are few, not so many that their rounding shows.
    e.block_rows =
        e.outer == 0 ? 1 : std::clamp<int64_t>(kTensorBlock / std::max<int64_t>(e.width(), 1), 64, kTensorMostRows);
    const int64_t blocks = e.outer == 0 ? (e.count + kTensorBlock - 1) / kTensorBlock : e.outer * e.blocks_of_sheet();
    next.first_block = e.first_block + blocks;
    next.first_partial = e.first_partial + (e.outer == 0 ? 0 : blocks * e.width());
    next.first_mean = e.first_mean + e.outer * e.inner;
    updates.push_back(tensors->params[i]);
    append(updates, tensors->copies[i]);
    for (size_t k = i * state_count; k < (i + 1) * state_count; k++) append(updates, tensors->states[k]);
  }
  append(updates, rates);
  launch(
      kOp, std::move(inputs), {},
      [p, tensors, state_count, rate_index, entries = std::move(entries)]() mutable {
        const auto floats_of = [](const std::optional<Tensor>& x) { return x ? x->data_as<float>() : nullptr; };
        for (size_t i = 0; i + 1 < entries.size(); i++) {
          TensorStepEntry& e = entries[i];
          e.param = tensors->params[i].data();
          e.gradient = tensors->gradients[i].data_as<float>();
          e.copy = tensors->copies[i] ? tensors->copies[i]->data() : nullptr;
          for (size_t k = 0; k < state_count; k++) e.state[k] = floats_of(tensors->states[i * state_count + k]);
          e.rate = rate_index[i] < 0 ? nullptr : floats_of(tensors->rates) + rate_index[i];
        }
        p.entries = entries.data();
        p.clip = floats_of(tensors->clip);
        run_kernel(kOp, {cpu::tensor_step, cuda::tensor_step}, p);
      },
      std::move(updates));
}

}  // namespace noisewright

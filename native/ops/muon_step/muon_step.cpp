#include "ops/muon_step/muon_step.h"

#include <numeric>

#include "core/launch.h"
#include "ops/ops.h"

namespace noisewright {

namespace {

constexpr const char* kOp = "muonStep";

struct MuonTensors {
  std::vector<Tensor> params, gradients, momenta;
  std::vector<std::optional<Tensor>> copies;
  std::optional<Tensor> clip;
};

void check_matrix(const MuonTensors& t, size_t i, const MuonStepEntry& e) {
  const int64_t count = t.params[i].count();
  const auto fits = [&](const Tensor& x, DType dtype) {
    return x.dtype == dtype && x.count() == count && x.contiguous();
  };
  CHECK(kOp, e.rows > 0 && e.columns > 0 && e.count() == count, "parameter ", i, " is not the matrix it should be");
  CHECK(kOp,
        is_float(t.params[i].dtype) && fits(t.params[i], t.params[i].dtype) && fits(t.gradients[i], DType::kFloat32) &&
            fits(t.momenta[i], DType::kFloat32),
        "parameter ", i, " must be a contiguous float tensor, its gradient and its momentum float32 of its size");
  CHECK(kOp, !t.copies[i] || fits(*t.copies[i], DType::kBFloat16) || fits(*t.copies[i], DType::kFloat16), "copy ", i,
        " must be bfloat16 or float16 like its parameter");
}

}  // namespace

void muon_step(std::vector<Tensor> params, std::vector<Tensor> gradients, std::vector<Tensor> momenta,
               std::vector<std::optional<Tensor>> copies, const std::vector<int64_t>& streams,
               const std::vector<int64_t>& shapes, const std::vector<double>& numbers, int64_t steps, bool half,
               const std::optional<Tensor>& clip, bool stochastic_rounding, uint64_t seed) {
  const size_t n = params.size();
  CHECK(kOp,
        gradients.size() == n && momenta.size() == n && copies.size() == n && streams.size() == n &&
            shapes.size() == 2 * n && numbers.size() == n * kMuonNumbers,
        "its lists differ in length");
  if (n == 0) return;
  CHECK(kOp, !clip || (clip->dtype == DType::kFloat32 && clip->count() == 2), "clip must be what gradientNorm returns");
  auto tensors = std::make_shared<MuonTensors>(
      MuonTensors{std::move(params), std::move(gradients), std::move(momenta), std::move(copies), clip});
  MuonStepParams p{};
  p.entry_count = static_cast<int64_t>(n);
  p.steps = steps;
  p.half = half;
  p.seed = seed;
  p.stochastic_rounding = stochastic_rounding;
  std::vector<size_t> order(n);  // matrices of one shape are multiplied together
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return std::make_pair(shapes[2 * a], shapes[2 * a + 1]) < std::make_pair(shapes[2 * b], shapes[2 * b + 1]);
  });
  std::vector<MuonStepEntry> entries(n);
  Tensors inputs = tensors->gradients, updates;
  append(inputs, clip);
  for (size_t place = 0; place < n; place++) {
    const size_t i = order[place];
    MuonStepEntry& e = entries[place];
    e.rows = shapes[2 * i];
    e.columns = shapes[2 * i + 1];
    e.stream = static_cast<uint64_t>(streams[i]);
    e.dtype = tensors->params[i].dtype;
    if (tensors->copies[i]) e.copy_dtype = tensors->copies[i]->dtype;
    for (size_t k = 0; k < kMuonNumbers; k++) e.k[k] = static_cast<float>(numbers[i * kMuonNumbers + k]);
    check_matrix(*tensors, i, e);
    updates.push_back(tensors->params[i]);
    updates.push_back(tensors->momenta[i]);
    append(updates, tensors->copies[i]);
  }
  launch(
      kOp, std::move(inputs), {},
      [p, tensors, order = std::move(order), entries = std::move(entries)]() mutable {
        for (size_t place = 0; place < entries.size(); place++) {
          const size_t i = order[place];
          MuonStepEntry& e = entries[place];
          e.param = tensors->params[i].data();
          e.gradient = tensors->gradients[i].data_as<float>();
          e.momentum = tensors->momenta[i].data_as<float>();
          e.copy = tensors->copies[i] ? tensors->copies[i]->data() : nullptr;
        }
        p.entries = entries.data();
        p.clip = tensors->clip ? tensors->clip->data_as<float>() : nullptr;
        run_kernel(kOp, {cpu::muon_step, cuda::muon_step}, p);
      },
      std::move(updates));
}

}  // namespace noisewright

#include "ops/tensor_step/tensor_step_cuda.h"

#include "core/device.h"
#include "core/parallel.h"
#include "cuda/launch.h"

namespace noisewright::cuda {

// Bytes moved for a parameter in float32: AdaFactor 4 + 4 + 4 of the gradient and 12 of the parameter (with a moment 8
// more), CAME 12 of the gradient, 12 of the moment and 8 of the parameter, StableAdamW 4 of the gradient, 16 and then 8
// of the states and 8 of the parameter; means over rows and columns are few beside them, and partial sums of kernels
// (3 x 3), which grow row by row, stay in caches. A single pass (the gradient once, states and parameter read and
// written once) cannot be: each pass needs statistics of the whole tensor from the one before. Tensors are not batched
// as on the CPU: hundreds of short kernels would cost what the second-level cache saves. The list of tensors goes to
// the GPU with every step, 208 bytes for each.
void tensor_step(const TensorStepParams& p) {
  const TensorStepEntry& totals = p.entries[p.entry_count];
  const int64_t blocks = totals.first_block, partials = totals.first_partial, means = totals.first_mean;
  const bool came = p.rule == TensorRule::kCame, factored = partials > 0;
  const Scratch<TensorStepEntry> entries(p.entry_count + 1);
  const Scratch<float> floats((came ? 2 : 1) * (partials + means) + 1), results(2 * p.entry_count);
  const Scratch<double> sums(2 * blocks + 1);
  Device::running()->upload(entries.data, p.entries, static_cast<size_t>(p.entry_count + 1) * sizeof(TensorStepEntry));
  TensorStepParams on_device = p;
  on_device.entries = entries.data;
  const TensorWork work{floats.data, partials, means, sums.data, results.data};
  const auto pass = [&](const char* kernel) { launch_kernel(kernel, {blocks}, {kTensorThreads}, 0, on_device, work); };
  const auto finish = [&](bool errors) {
    if (factored) launch_kernel("tensor_finish_kernel", {blocks}, {kTensorThreads}, 0, on_device, work, errors);
  };
  const auto judge = [&] {
    launch_kernel("tensor_judge_kernel", {p.entry_count}, {kTensorThreads}, 0, on_device, work);
  };

  if (p.rule == TensorRule::kStableAdamW) {
    pass("tensor_stable_moments_kernel");
    judge();
    return pass("tensor_stable_apply_kernel");
  }
  pass("tensor_gather_kernel");
  finish(false);
  pass("tensor_size_kernel");
  judge();
  if (!came) return pass("tensor_ada_factor_kernel");
  pass("tensor_came_moment_kernel");
  finish(true);
  if (factored) pass("tensor_came_correct_kernel");
}

}  // namespace noisewright::cuda

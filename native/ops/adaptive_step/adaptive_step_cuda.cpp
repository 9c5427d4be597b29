#include "ops/adaptive_step/adaptive_step_cuda.h"

#include <string>

#include "core/device.h"
#include "core/parallel.h"
#include "cuda/launch.h"

namespace noisewright::cuda {

// Bytes moved: those that the CPU's two passes move (D-Adapt Adam 28 and 16 for each parameter, Prodigy 36 and 16),
// which is what they have to, since the second pass needs the sums of the first over all parameters. The list of
// parameters goes to the GPU with every step, 120 bytes for each.
void adaptive_step(const AdaptiveStepParams& p) {
  const Scratch<AdaptiveEntry> entries(p.entry_count);
  const Scratch<AdaptiveProgress> progress(1);
  const Scratch<double> partial(p.task_count * kAdaptiveSlices * kMaxAdaptiveSums);
  Device::running()->upload(entries.data, p.entries, static_cast<size_t>(p.entry_count) * sizeof(AdaptiveEntry));
  AdaptiveStepParams on_device = p;
  on_device.entries = entries.data;
  const AdaptiveRun run{progress.data, partial.data};
  const AdaptiveRuleInfo& rule = kAdaptiveRules[p.rule];
  const auto launch_pass = [&](const char* pass) {
    launch_kernel((std::string("adaptive_") + pass + "_" + rule.name).c_str(), {p.task_count, kAdaptiveSlices},
                  {kAdaptiveThreads}, 0, on_device, run);
  };
  const auto launch_join = [&](const char* join) {
    launch_kernel((std::string("adaptive_") + join + "_" + rule.name).c_str(), {1}, {kAdaptiveJoinThreads}, 0,
                  on_device, run);
  };
  bool any_fresh = false;
  for (int64_t i = 0; i < p.entry_count; i++) any_fresh = any_fresh || p.entries[i].fresh;
  if (any_fresh || rule.first_norm) launch_pass("prepare");
  launch_join("start");
  launch_pass("first");
  launch_join("estimate");
  launch_pass("second");
}

}  // namespace noisewright::cuda

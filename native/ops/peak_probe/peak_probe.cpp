#include "ops/peak_probe/peak_probe.h"

#include "core/launch.h"
#include "ops/ops.h"

namespace noisewright {

Tensor peak_probe(int64_t tasks, int64_t vectors) {
  Tensor y = make_tensor(cpu_device(), {tasks, 2}, DType::kFloat32);
  launch("peakProbe", {}, {y},
         [=] { run_kernel<PeakProbeParams>("peakProbe", {cpu::peak_probe}, {y.data_as<float>(), tasks, vectors}); });
  return y;
}

}  // namespace noisewright

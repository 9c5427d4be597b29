#include "ops/gradient_norm/gradient_norm_cuda.h"

#include "core/device.h"
#include "core/parallel.h"
#include "cuda/launch.h"

namespace noisewright::cuda {

// Bytes moved: every gradient once; 24 bytes for each tensor go to the GPU.
void gradient_norm(const GradientNormParams& p) {
  const Scratch<GradientNormEntry> entries(p.entry_count);
  const Scratch<double> sums(p.chunk_count > 0 ? p.chunk_count : 1);
  Device::running()->upload(entries.data, p.entries, static_cast<size_t>(p.entry_count) * sizeof(GradientNormEntry));
  GradientNormParams on_device = p;
  on_device.entries = entries.data;
  launch_kernel("gradient_norm_partial_kernel", {p.chunk_count}, {kGradientNormThreads}, 0, on_device, sums.data);
  launch_kernel("gradient_norm_join_kernel", {1}, {kGradientNormJoinThreads}, 0, on_device,
                static_cast<const double*>(sums.data));
}

}  // namespace noisewright::cuda

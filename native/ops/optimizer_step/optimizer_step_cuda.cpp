#include <cstring>
#include <string>
#include <vector>

#include "core/check.h"
#include "core/device.h"
#include "core/parallel.h"
#include "cuda/launch.h"
#include "ops/optimizer_step/optimizer_step.h"
#include "ops/optimizer_step/optimizer_step_cuda.h"

namespace noisewright::cuda {

// The list of parameters and the tables of the 8-bit maps go to the GPU with every step, in one copy of about 170 bytes
// for a parameter: addresses may change from step to step, and keeping track of that costs more.
void optimizer_step(const OptimizerParams& p) {
  for (int64_t i = 0; i < p.entry_count; i++) {
    const OptimizerEntry& e = p.entries[i];
    if (e.dtype == DType::kFloat16 || (e.copy && e.copy_dtype != DType::kBFloat16))
      fail(ErrorKind::kInternal, "optimizerStep",
           "has CUDA kernels for float32 and bfloat16 parameters with bfloat16 copies");
  }
  const size_t entry_bytes = static_cast<size_t>(p.entry_count) * sizeof(OptimizerEntry);
  OptimizerTables tables;
  std::memcpy(tables.signed_value, p.signed_map->value, sizeof tables.signed_value);
  std::memcpy(tables.signed_midpoint, p.signed_map->midpoint, sizeof tables.signed_midpoint);
  std::memcpy(tables.unsigned_value, p.unsigned_map->value, sizeof tables.unsigned_value);
  std::memcpy(tables.unsigned_midpoint, p.unsigned_map->midpoint, sizeof tables.unsigned_midpoint);
  std::vector<unsigned char> host(sizeof tables + entry_bytes);
  std::memcpy(host.data(), &tables, sizeof tables);
  std::memcpy(host.data() + sizeof tables, p.entries, entry_bytes);
  const Scratch<unsigned char> device(static_cast<int64_t>(host.size()));
  Device::running()->upload(device.data, host.data(), host.size());

  OptimizerParams on_device = p;
  on_device.entries = reinterpret_cast<const OptimizerEntry*>(device.data + sizeof tables);
  on_device.signed_map = on_device.unsigned_map = nullptr;
  const auto* device_tables = reinterpret_cast<const OptimizerTables*>(device.data);
  const std::string kernel = std::string("optimizer_step_") + kOptimizerRules[p.rule].name;
  launch_kernel(kernel.c_str(), {p.task_count, kOptimizerSlices}, {kOptimizerThreads}, 0, on_device, device_tables);
}

}  // namespace noisewright::cuda

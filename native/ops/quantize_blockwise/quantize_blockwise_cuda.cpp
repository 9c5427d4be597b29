#include "ops/quantize_blockwise/quantize_blockwise_cuda.h"

#include <cstring>

#include "core/device.h"
#include "core/parallel.h"
#include "cuda/kernel_name.h"
#include "cuda/launch.h"
#include "ops/quantize_blockwise/quantize_blockwise.h"

namespace noisewright::cuda {

namespace {

void launch_with_tables(const std::string& kernel, const QuantizeBlockwiseParams& p) {
  QuantizeTables tables;
  std::memcpy(tables.value, p.map->value, sizeof tables.value);
  std::memcpy(tables.midpoint, p.map->midpoint, sizeof tables.midpoint);
  tables.zero = p.map->zero;
  const Scratch<QuantizeTables> device(1);
  Device::running()->upload(device.data, &tables, sizeof tables);
  launch_kernel(kernel.c_str(), {blocks_for(p.count, kQuantizeThreads)}, {kQuantizeThreads}, 0, p,
                static_cast<const QuantizeTables*>(device.data));
}

}  // namespace

// Bytes moved: x once, codes once, 4 for every 256 elements.
void quantize_blockwise(const QuantizeBlockwiseParams& p) {
  launch_with_tables("quantize" + suffix("quantizeBlockwise", p.dtype) + "_kernel", p);
}

// Bytes moved: codes once, y once, 4 for every 256 elements.
void dequantize_blockwise(const QuantizeBlockwiseParams& p) { launch_with_tables("dequantize_kernel", p); }

}  // namespace noisewright::cuda

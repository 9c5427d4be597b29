// A thread looks up 16 bytes, the table from the first cache.
#include "cuda/elementwise.cuh"
#include "ops/lookup_table/lookup_table.h"

namespace noisewright::cuda {

namespace {

__device__ inline void look_up(const LookupTableParams& p, bool wide) {
  const int64_t i = (int64_t{blockIdx.x} * kElementThreads + threadIdx.x) * 16;
  if (wide && i + 16 <= p.count) {
    gpu::SixteenBytes bytes = gpu::load_16(p.x + i);
    for (uint32_t& word : bytes.word) {
      uint32_t found = 0;
      for (int shift = 0; shift < 32; shift += 8) found |= static_cast<uint32_t>(p.table[word >> shift & 255]) << shift;
      word = found;
    }
    gpu::store_16(p.y + i, bytes);
  } else {
    for (int64_t k = i; k < i + 16 && k < p.count; k++) p.y[k] = p.table[p.x[k]];
  }
}

}  // namespace

extern "C" __global__ void __launch_bounds__(kElementThreads) lookup_table_kernel(LookupTableParams p, bool wide) {
  look_up(p, wide);
}
KERNEL(lookup_table_kernel);

}  // namespace noisewright::cuda

#include "ops/quantize_blockwise/quantize_blockwise.h"

#include "core/parallel.h"
#include "core/quantization_cpu.h"
#include "core/simd.h"

namespace noisewright::NOISEWRIGHT_TARGET {

namespace {

constexpr int64_t kTask = 64 * kQuantizationBlock;

}  // namespace

void quantize_blockwise(const QuantizeBlockwiseParams& p) {
  with_float_type(p.dtype, [&](auto* t) {
    const auto* x = static_cast<decltype(t)>(const_cast<void*>(p.x));
    parallel_chunks(p.count, kTask, [&](int64_t begin, int64_t end) {
      alignas(64) float block[kQuantizationBlock];
      for (int64_t first = begin; first < end; first += kQuantizationBlock) {
        const int64_t n = end - first < kQuantizationBlock ? end - first : kQuantizationBlock;
        Vec largest = zero();
        for (int64_t i = 0; i < n; i += kLanes) {
          const Vec v = load_up_to(x + first + i, n - i);
          store(block + i, v);
          largest = max(largest, abs(v));
        }
        const float absmax = max_lanes(largest);
        p.absmax[first / kQuantizationBlock] = absmax;
        if (absmax == 0)
          std::memset(p.codes + first, p.map->zero, static_cast<size_t>(n));
        else if (p.map->zero == 0)
          encode_block<false, false>(*p.map, block, absmax, p.codes + first, n);
        else
          encode_block<true, false>(*p.map, block, absmax, p.codes + first, n);
      }
    });
  });
}

void dequantize_blockwise(const QuantizeBlockwiseParams& p) {
  parallel_chunks(p.count, kTask, [&](int64_t begin, int64_t end) {
    for (int64_t first = begin; first < end; first += kQuantizationBlock) {
      const int64_t n = end - first < kQuantizationBlock ? end - first : kQuantizationBlock;
      decode_block(*p.map, p.codes + first, p.absmax[first / kQuantizationBlock], p.y + first, n);
    }
  });
}

}  // namespace noisewright::NOISEWRIGHT_TARGET

#include "ops/concat_batch/concat_batch.h"

#include <cstring>

#include "core/parallel.h"

namespace noisewright::NOISEWRIGHT_TARGET {

void concat_batch_forward(const ConcatBatchParams& p) {
  parallel_for(p.count, [&](int64_t part) {
    int64_t at = 0;
    for (int64_t i = 0; i < part; i++) at += p.bytes[i];
    std::memcpy(static_cast<char*>(p.y) + at, p.parts[part], static_cast<size_t>(p.bytes[part]));
  });
}

}  // namespace noisewright::NOISEWRIGHT_TARGET

#include "ops/lookup_table/lookup_table.h"

#include "core/parallel.h"

namespace noisewright::NOISEWRIGHT_TARGET {

void lookup_table(const LookupTableParams& p) {
  parallel_chunks(p.count, 1 << 14, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) p.y[i] = p.table[p.x[i]];
  });
}

}  // namespace noisewright::NOISEWRIGHT_TARGET

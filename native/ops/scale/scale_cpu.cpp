// Memory bound: reads x once, writes y once.
#include "ops/scale/scale.h"

#include "core/rows.h"

namespace noisewright::NOISEWRIGHT_TARGET {

void scale_forward(const ScaleParams& p) {
  with_float_type(p.dtype, [&](auto* t) {
    using T = std::remove_pointer_t<decltype(t)>;
    const auto* x = static_cast<const T*>(p.x);
    auto* y = static_cast<T*>(p.y);
    const Vec factor = broadcast(p.factor);
    parallel_chunks(p.count, 16384, [&](int64_t begin, int64_t end) {
      for_vectors(end - begin,
                  [&](int64_t i, auto n) { store_up_to(y + begin + i, factor * load_up_to(x + begin + i, n), n); });
    });
  });
}

}  // namespace noisewright::NOISEWRIGHT_TARGET

#include "ops/vae_encode/vae_encode.h"

#include <type_traits>

#include "core/rows.h"

namespace noisewright::NOISEWRIGHT_TARGET {

namespace {

template <class T>
void convert(const VaePixelsParams& p) {
  auto* y = static_cast<T*>(p.y);
  const Vec half = broadcast(127.5f), one = broadcast(1.0f);
  parallel_chunks(p.count, 16384, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += kLanes) {
      const int64_t n = kLanes < end - i ? kLanes : end - i;
      if (p.dtype == DType::kFloat32) {
        store_up_to(y + i, load_up_to(static_cast<const float*>(p.x) + i, n), n);
        continue;
      }
      float values[kLanes] = {};
      for (int64_t lane = 0; lane < n; lane++) values[lane] = static_cast<const uint8_t*>(p.x)[i + lane];
      store_up_to(y + i, load(values) / half - one, n);
    }
  });
}

}  // namespace

void vae_pixels(const VaePixelsParams& p) {
  with_float_type(p.y_dtype, [&](auto* t) { convert<std::remove_pointer_t<decltype(t)>>(p); });
}

}  // namespace noisewright::NOISEWRIGHT_TARGET

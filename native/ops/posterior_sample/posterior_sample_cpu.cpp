#include "ops/posterior_sample/posterior_sample.h"

#include "core/elementary.h"
#include "core/parallel.h"
#include "core/simd.h"

namespace noisewright::NOISEWRIGHT_TARGET {

void posterior_sample_forward(const PosteriorSampleParams& p) {
  with_float_type(p.dtype, [&](auto* t) {
    const auto* moments = static_cast<decltype(t)>(const_cast<void*>(p.moments));
    const int64_t c = p.channels;
    parallel_chunks(p.rows, 4096, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; row++)
        for (int64_t i = 0; i < c; i += kLanes) {
          const int64_t n = c - i;
          const Vec mean = load_up_to(moments + row * 2 * c + i, n);
          const Vec logvar = load_up_to(moments + row * 2 * c + c + i, n);
          const Vec deviation = exp(broadcast(0.5f) * min(max(logvar, broadcast(-30.0f)), broadcast(20.0f)));
          store_up_to(p.z + row * c + i, fma(deviation, load_up_to(p.noise + row * c + i, n), mean), n);
        }
    });
  });
}

}  // namespace noisewright::NOISEWRIGHT_TARGET

#include "ops/add_noise/add_noise.h"

#include <math.h>

#include "core/parallel.h"
#include "core/simd.h"

namespace noisewright::NOISEWRIGHT_TARGET {

void add_noise_forward(const AddNoiseParams& p) {
  constexpr int64_t kChunk = 8192;
  const int64_t chunks = (p.size + kChunk - 1) / kChunk;
  with_float_type(p.dtype, [&](auto* t) {
    with_float_type(p.noise_dtype, [&](auto* u) {
      const auto* latents = static_cast<decltype(t)>(const_cast<void*>(p.latents));
      const auto* noise = static_cast<decltype(u)>(const_cast<void*>(p.noise));
      auto* y = static_cast<decltype(t)>(p.y);
      parallel_for(p.samples * chunks, [&](int64_t task) {
        const int64_t n = task / chunks, start = task % chunks * kChunk, first = n * p.size + start;
        const int64_t count = p.size - start < kChunk ? p.size - start : kChunk;
        const double abar = p.alphas_cumprod[p.timesteps[n]];
        const auto signal = static_cast<float>(::sqrt(abar)), remainder = static_cast<float>(::sqrt(1.0 - abar));
        const Vec of_latents = broadcast(p.velocity ? -remainder : signal),
                  of_noise = broadcast(p.velocity ? signal : remainder);
        for (int64_t i = first; i < first + count; i += kLanes) {
          const int64_t left = first + count - i;
          store_up_to(y + i, fma(of_latents, load_up_to(latents + i, left), of_noise * load_up_to(noise + i, left)),
                      left);
        }
      });
    });
  });
}

}  // namespace noisewright::NOISEWRIGHT_TARGET

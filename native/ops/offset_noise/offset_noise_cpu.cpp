// Two short passes: the shift s z of every sample and channel, then one addition for each element.
#include "ops/offset_noise/offset_noise.h"

#include <math.h>

#include "core/parallel.h"
#include "core/simd.h"

namespace noisewright::NOISEWRIGHT_TARGET {

namespace {

float normal_at(const PhiloxStream& stream, int64_t i) {
  const PhiloxBlock block = philox_block(stream, static_cast<uint64_t>(i / 4));
  const int64_t pair = i % 4 / 2 * 2;
  float first, second;
  normals_of(block.v[pair], block.v[pair + 1], &first, &second);
  return i % 2 ? second : first;
}

template <class L>
double channel_mean(const L* latents, int64_t pixels, int64_t channels) {
  double sum = 0;
  for (int64_t i = 0; i < pixels; i++) sum += to_float(latents[i * channels]);
  return sum / static_cast<double>(pixels);
}

}  // namespace

void offset_noise_forward(const OffsetNoiseParams& p) {
  Scratch<float> shift(p.samples * p.channels);
  with_float_type(p.latents_dtype, [&](auto* l) {
    const auto* latents = static_cast<decltype(l)>(const_cast<void*>(p.latents));
    parallel_for(p.samples * p.channels, [&](int64_t task) {
      const int64_t n = task / p.channels, c = task % p.channels;
      float strength = p.offset;
      if (p.adaptive_scale != 0) {
        const double mean = channel_mean(latents + n * p.pixels * p.channels + c, p.pixels, p.channels);
        strength += p.adaptive_scale * static_cast<float>(::fabs(mean));
        if (strength < 0) strength = 0;
      }
      shift[task] = strength * normal_at(p.stream, task);
    });
  });
  with_float_type(p.dtype, [&](auto* t) {
    using T = std::remove_pointer_t<decltype(t)>;
    const auto* noise = static_cast<const T*>(p.noise);
    auto* y = static_cast<T*>(p.y);
    parallel_chunks(p.samples * p.pixels, 4096, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; row++) {
        const float* s = shift.data + row / p.pixels * p.channels;
        for (int64_t i = row * p.channels, c = 0; c < p.channels; i++, c++)
          y[i] = from_float<T>(to_float(noise[i]) + s[c]);
      }
    });
  });
}

}  // namespace noisewright::NOISEWRIGHT_TARGET

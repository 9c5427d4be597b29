#include "ops/offset_noise/offset_noise.h"

#include "core/launch.h"
#include "ops/ops.h"

namespace noisewright {

Tensor offset_noise_forward(const Tensor& noise, const std::optional<Tensor>& latents, double offset,
                            double adaptive_scale, uint64_t seed, uint64_t stream) {
  CHECK("offsetNoise", noise.rank() >= 2 && noise.count() > 0 && noise.contiguous(),
        "noise must be contiguous [n, ..., c]");
  CHECK("offsetNoise", latents ? latents->shape == noise.shape && latents->contiguous() : adaptive_scale == 0,
        "an adaptive scale needs latents in the shape of the noise");
  OffsetNoiseParams p{};
  p.samples = noise.size(0);
  p.channels = noise.size(-1);
  p.pixels = noise.count() / (p.samples * p.channels);
  p.offset = static_cast<float>(offset);
  p.adaptive_scale = static_cast<float>(adaptive_scale);
  p.stream = {seed, stream};
  p.dtype = noise.dtype;
  if (latents) p.latents_dtype = latents->dtype;
  Tensor y = empty_like(noise);
  Tensors inputs = {noise};
  append(inputs, latents);
  launch("offsetNoise", inputs, {y}, [=]() mutable {
    p.noise = noise.data();
    p.latents = latents ? latents->data() : nullptr;
    p.y = y.data();
    run_kernel("offsetNoise", {cpu::offset_noise_forward, cuda::offset_noise_forward}, p);
  });
  return y;
}

}  // namespace noisewright

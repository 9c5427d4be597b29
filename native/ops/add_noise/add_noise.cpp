#include "ops/add_noise/add_noise.h"

#include "core/launch.h"
#include "ops/ops.h"

namespace noisewright {

namespace {

// Timesteps are data, so a wrong one shows only when the operation runs. Device thread, CPU memory.
void check_timesteps(const char* op, const AddNoiseParams& p) {
  if (Device::running()->kind() != DeviceKind::kCpu) return;
  for (int64_t n = 0; n < p.samples; n++)
    if (p.timesteps[n] < 0 || p.timesteps[n] >= p.steps)
      fail(ErrorKind::kDevice, op, "timesteps must be in [0, ", p.steps, "), the length of alphasCumprod; sample ", n,
           " has ", p.timesteps[n]);
}

Tensor mix(const char* op, bool velocity, const Tensor& latents, const Tensor& noise, const Tensor& timesteps,
           const Tensor& alphas_cumprod) {
  CHECK(op, latents.rank() >= 1 && latents.count() > 0 && latents.shape == noise.shape,
        "latents and noise differ in shape");
  CHECK(op, latents.contiguous() && noise.contiguous() && timesteps.contiguous() && alphas_cumprod.contiguous(),
        "expected contiguous tensors");
  CHECK(op, timesteps.dtype == DType::kInt32 && timesteps.count() == latents.size(0), "timesteps must be int32 [n]");
  CHECK(op, alphas_cumprod.dtype == DType::kFloat32, "alphasCumprod must be float32");
  AddNoiseParams p{};
  p.samples = latents.size(0);
  p.size = latents.count() / p.samples;
  p.steps = alphas_cumprod.count();
  p.velocity = velocity;
  p.dtype = latents.dtype;
  p.noise_dtype = noise.dtype;
  Tensor y = empty_like(latents);
  launch<kRepeatable>(op, {latents, noise, timesteps, alphas_cumprod}, {y}, [=]() mutable {
    p.latents = latents.data();
    p.noise = noise.data();
    p.timesteps = timesteps.data_as<int32_t>();
    p.alphas_cumprod = alphas_cumprod.data_as<float>();
    p.y = y.data();
    check_timesteps(op, p);
    run_kernel(op, {cpu::add_noise_forward, cuda::add_noise_forward}, p);
  });
  return y;
}

}  // namespace

Tensor add_noise_forward(const Tensor& latents, const Tensor& noise, const Tensor& timesteps,
                         const Tensor& alphas_cumprod) {
  return mix("addNoise", false, latents, noise, timesteps, alphas_cumprod);
}

Tensor velocity_forward(const Tensor& latents, const Tensor& noise, const Tensor& timesteps,
                        const Tensor& alphas_cumprod) {
  return mix("velocity", true, latents, noise, timesteps, alphas_cumprod);
}

}  // namespace noisewright

#include "ops/posterior_sample/posterior_sample.h"

#include "core/launch.h"
#include "ops/ops.h"

namespace noisewright {

Tensor posterior_sample_forward(const Tensor& moments, const Tensor& noise) {
  Tensor z = empty(moments, noise.shape, DType::kFloat32);
  launch("posteriorSample", {moments, noise}, {z}, [=] {
    const int64_t channels = noise.size(-1);
    run_kernel<PosteriorSampleParams>("posteriorSample",
                                      {cpu::posterior_sample_forward, cuda::posterior_sample_forward},
                                      {moments.data(), noise.data_as<float>(), z.data_as<float>(),
                                       noise.count() / channels, channels, moments.dtype});
  });
  return z;
}

}  // namespace noisewright

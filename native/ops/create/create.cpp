#include "ops/create/create.h"

#include "core/launch.h"
#include "ops/ops.h"

namespace noisewright {

Tensor fill(const Shape& shape, DType dtype, double value) {
  Tensor y = make_tensor(cpu_device(), shape, dtype);
  launch("fill", {}, {y},
         [=] { run_kernel<FillParams>("fill", {cpu::fill_forward}, {y.data(), y.count(), value, dtype}); });
  return y;
}

Tensor random_uniform(const Shape& shape, uint64_t seed, uint64_t stream, double low, double high) {
  Tensor y = make_tensor(cpu_device(), shape, DType::kFloat32);
  launch("randomUniform", {}, {y}, [=] {
    run_kernel<RandomParams>(
        "randomUniform", {cpu::random_uniform},
        {y.data_as<float>(), y.count(), {seed, stream}, static_cast<float>(low), static_cast<float>(high)});
  });
  return y;
}

Tensor random_normal(const Shape& shape, uint64_t seed, uint64_t stream) {
  Tensor y = make_tensor(cpu_device(), shape, DType::kFloat32);
  launch("randomNormal", {}, {y}, [=] {
    run_kernel<RandomParams>("randomNormal", {cpu::random_normal},
                             {y.data_as<float>(), y.count(), {seed, stream}, 0, 0});
  });
  return y;
}

}  // namespace noisewright

#include "ops/create/create.h"

#include "core/launch.h"
#include "core/paged.h"
#include "ops/ops.h"

namespace noisewright {

Tensor fill(const Shape& shape, DType dtype, double value, const std::optional<std::string>& device) {
  Tensor y = make_tensor(device_named(device.value_or("cpu")), shape, dtype);
  launch<kRepeatable>("fill", {}, {y}, [=] {
    run_kernel<FillParams>("fill", {cpu::fill_forward, cuda::fill_forward}, {y.data(), y.count(), value, dtype});
  });
  return y;
}

Tensor paged_zeros(const Shape& shape, DType dtype, const std::string& folder) {
  Tensor y = make_tensor(cpu_device(), shape, dtype);
  launch("pagedZeros", {}, {y}, [=] { y.storage->adopt(take_paged(y.bytes(), folder, "pagedZeros")); });
  return y;
}

Tensor pinned_zeros(const Shape& shape, DType dtype, const std::string& device) {
  Tensor y = make_tensor(device_named(device), shape, dtype);
  launch("pinnedZeros", {}, {y}, [=] {
    y.storage->adopt(Device::running()->take_pinned(y.bytes()));
    run_kernel<FillParams>("pinnedZeros", {cpu::fill_forward, cuda::fill_forward}, {y.data(), y.count(), 0.0, dtype});
  });
  return y;
}

void page_out(std::vector<Tensor> tensors) {
  if (tensors.empty()) return;
  Tensors updates = tensors;
  launch(
      "pageOut", {}, {},
      [tensors = std::move(tensors)] {
        for (const Tensor& t : tensors) write_out(t.storage->data(), t.storage->bytes());
      },
      std::move(updates));
}

Tensor random_uniform(const Shape& shape, uint64_t seed, uint64_t stream, double low, double high,
                      const std::optional<std::string>& device) {
  Tensor y = make_tensor(device_named(device.value_or("cpu")), shape, DType::kFloat32);
  launch("randomUniform", {}, {y}, [=] {
    run_kernel<RandomParams>(
        "randomUniform", {cpu::random_uniform, cuda::random_uniform},
        {y.data_as<float>(), y.count(), {seed, stream}, static_cast<float>(low), static_cast<float>(high)});
  });
  return y;
}

Tensor random_normal(const Shape& shape, uint64_t seed, uint64_t stream, const std::optional<std::string>& device) {
  Tensor y = make_tensor(device_named(device.value_or("cpu")), shape, DType::kFloat32);
  launch("randomNormal", {}, {y}, [=] {
    run_kernel<RandomParams>("randomNormal", {cpu::random_normal, cuda::random_normal},
                             {y.data_as<float>(), y.count(), {seed, stream}, 0, 0});
  });
  return y;
}

}  // namespace noisewright

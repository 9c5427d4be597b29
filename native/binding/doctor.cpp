// What `noisewright doctor` asks of the build and of the GPUs.
#include <string>
#include <vector>

#include "binding/define.h"
#include "binding/runtime.h"
#include "cuda/driver.h"

namespace noisewright::binding {

namespace {

constexpr int kAttributeClockRate = 13;  // kHz
constexpr int kAttributeMultiprocessorCount = 16;

int64_t toolkit_version() { return cuda::kToolkitVersion; }

std::vector<std::string> cuda_architectures() {
  std::vector<std::string> names;
  for (const char* const* name = cuda::kArchitectures; *name; name++) names.push_back(*name);
  return names;
}

// The version of the driver, then of each GPU multiprocessors, clock in kHz and ten times the compute capability; 0
// where unknown. Empty without a GPU.
std::vector<int64_t> gpu_numbers() {
  const cuda::Driver* driver = cuda::driver(nullptr);
  if (!driver) return {};
  int version = 0, count = 0;
  driver->cuDriverGetVersion(&version);
  driver->cuDeviceGetCount(&count);
  std::vector<int64_t> numbers{version};
  for (int i = 0; i < count; i++) {
    cuda::DeviceNumber device = 0;
    driver->cuDeviceGet(&device, i);
    const auto attribute = [&](int which) {
      int value = 0;
      return driver->cuDeviceGetAttribute(&value, which, device) == 0 ? value : 0;
    };
    numbers.push_back(attribute(kAttributeMultiprocessorCount));
    numbers.push_back(attribute(kAttributeClockRate));
    numbers.push_back(attribute(cuda::kAttributeComputeCapabilityMajor) * 10 +
                      attribute(cuda::kAttributeComputeCapabilityMinor));
  }
  return numbers;
}

std::vector<std::string> gpu_names() {
  const cuda::Driver* driver = cuda::driver(nullptr);
  if (!driver) return {};
  int count = 0;
  driver->cuDeviceGetCount(&count);
  std::vector<std::string> names;
  for (int i = 0; i < count; i++) {
    cuda::DeviceNumber device = 0;
    driver->cuDeviceGet(&device, i);
    char name[256] = "";
    driver->cuDeviceGetName(name, sizeof name, device);
    names.push_back(name);
  }
  return names;
}

}  // namespace

void define_doctor(napi_env env, napi_value exports) {
  def(env, exports, "toolkitVersion", &toolkit_version);
  def(env, exports, "cudaArchitectures", &cuda_architectures);
  def(env, exports, "gpuNumbers", &gpu_numbers);
  def(env, exports, "gpuNames", &gpu_names);
}

}  // namespace noisewright::binding

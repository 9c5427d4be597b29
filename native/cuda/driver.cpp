#include "cuda/driver.h"

#include <dlfcn.h>

#include <cstdlib>

namespace noisewright::cuda {

namespace {

constexpr int kOldestMajor = 8;  // compute capability: bfloat16 conversions and cp.async start there

struct Opened {
  Driver driver;
  std::string why_not;  // empty when the driver can be used
};

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

std::string find_symbols(void* library, Driver& driver) {
#define F(name, arguments)                                                      \
  driver.name = reinterpret_cast<decltype(driver.name)>(dlsym(library, #name)); \
  if (!driver.name) return "the installed NVIDIA driver is too old (it lacks " #name ")";
  CUDA_DRIVER_FUNCTIONS(F)
#undef F
  driver.emulated = dlsym(library, "noisewright_emulated_driver") != nullptr;
  return "";
}

std::string choose_device(Driver& driver) {
  if (Result r = driver.cuInit(0)) return "cuInit says " + describe(driver, r);
  int count = 0;
  if (Result r = driver.cuDeviceGetCount(&count)) return "cuDeviceGetCount says " + describe(driver, r);
  if (count == 0) return "the NVIDIA driver reports none (is CUDA_VISIBLE_DEVICES set?)";
  if (!driver.emulated && !kImages[0].data)
    return "this build has no GPU kernels; install nvcc (CUDA toolkit 12.8 or newer) and run npm run build:native";
  int version = 0;
  if (Result r = driver.cuDriverGetVersion(&version)) return "cuDriverGetVersion says " + describe(driver, r);
  if (version / 1000 < kToolkitVersion / 1000)
    return "the installed NVIDIA driver is for CUDA " + version_text(version) +
           ", this build's kernels need a driver for CUDA " + version_text(kToolkitVersion / 1000 * 1000) + " or newer";
  if (Result r = driver.cuDeviceGet(&driver.device, 0)) return "cuDeviceGet says " + describe(driver, r);
  int major = 0, minor = 0;
  driver.cuDeviceGetAttribute(&major, kAttributeComputeCapabilityMajor, driver.device);
  driver.cuDeviceGetAttribute(&minor, kAttributeComputeCapabilityMinor, driver.device);
  if (major < kOldestMajor) {
    char name[256] = "the GPU";
    driver.cuDeviceGetName(name, sizeof name, driver.device);
    return std::string(name) + " has compute capability " + std::to_string(major) + "." + std::to_string(minor) +
           ", kernels need 8.0 or newer (Ampere)";
  }
  return "";
}

Opened open_driver() {
  Opened opened;
  const char* named = std::getenv("NOISEWRIGHT_LIBCUDA");
  const std::string name = named && *named ? named : "libcuda.so.1";
  void* library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    const char* error = dlerror();
    const std::string reason = error ? error : "";
    const bool absent = reason.find("No such file") != std::string::npos;
    opened.why_not =
        "the NVIDIA driver library (" + name + (absent ? ") is not installed" : ") cannot be opened: " + reason);
  } else if (opened.why_not = find_symbols(library, opened.driver); opened.why_not.empty()) {
    opened.why_not = choose_device(opened.driver);
  }
  if (!opened.why_not.empty()) opened.why_not = "no CUDA device: " + opened.why_not;
  return opened;
}

}  // namespace

const Driver* driver(std::string* why_not) {
  static const Opened opened = open_driver();
  if (why_not) *why_not = opened.why_not;
  return opened.why_not.empty() ? &opened.driver : nullptr;
}

std::string describe(const Driver& driver, Result result) {
  const char *name = nullptr, *words = nullptr;
  driver.cuGetErrorName(result, &name);
  driver.cuGetErrorString(result, &words);
  if (!name) return "error " + std::to_string(result);
  return words ? std::string(name) + " (" + words + ")" : std::string(name);
}

}  // namespace noisewright::cuda

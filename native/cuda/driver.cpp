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
#define F(name, arguments)                                                      \
  driver.name = reinterpret_cast<decltype(driver.name)>(dlsym(library, #name)); \
  if (!driver.name && driver.no_graphs.empty())                                 \
    driver.no_graphs = "the installed NVIDIA driver has no CUDA graphs (it lacks " #name ")";
  CUDA_GRAPH_FUNCTIONS(F)
#undef F
  driver.emulated = dlsym(library, "noisewright_emulated_driver") != nullptr;
  return "";
}

// What keeps this build's kernels from one GPU, or nothing.
std::string ask(const Driver& driver, Gpu& gpu, int ordinal) {
  if (Result r = driver.cuDeviceGet(&gpu.number, ordinal)) return "cuDeviceGet says " + describe(driver, r);
  char name[256] = "";
  size_t total = 0;
  Result r = driver.cuDeviceGetName(name, sizeof name, gpu.number);
  if (!r) r = driver.cuDeviceTotalMem_v2(&total, gpu.number);
  if (!r) r = driver.cuDeviceGetAttribute(&gpu.major, kAttributeComputeCapabilityMajor, gpu.number);
  if (!r) r = driver.cuDeviceGetAttribute(&gpu.minor, kAttributeComputeCapabilityMinor, gpu.number);
  // Only reports want these.
  if (driver.cuDeviceGetAttribute(&gpu.multiprocessors, kAttributeMultiprocessorCount, gpu.number))
    gpu.multiprocessors = 0;
  if (driver.cuDeviceGetAttribute(&gpu.clock_khz, kAttributeClockRate, gpu.number)) gpu.clock_khz = 0;
  gpu.name = name;
  gpu.total_bytes = static_cast<int64_t>(total);
  if (r) return "asked about its GPU, the driver says " + describe(driver, r);
  if (gpu.major >= kOldestMajor) return "";
  return gpu.name + " has compute capability " + std::to_string(gpu.major) + "." + std::to_string(gpu.minor) +
         ", kernels need 8.0 or newer (Ampere)";
}

std::string ask(Driver& driver) {
  if (Result r = driver.cuInit(0)) return "cuInit says " + describe(driver, r);
  int count = 0;
  if (Result r = driver.cuDeviceGetCount(&count)) return "cuDeviceGetCount says " + describe(driver, r);
  if (count == 0) return "the NVIDIA driver reports none (is CUDA_VISIBLE_DEVICES set?)";
  driver.gpus.resize(static_cast<size_t>(count));
  for (int i = 0; i < count; i++) driver.gpus[i].why_not = ask(driver, driver.gpus[i], i);
  if (Result r = driver.cuDriverGetVersion(&driver.version)) return "cuDriverGetVersion says " + describe(driver, r);
  if (!driver.emulated && !kImages[0].data)
    return "this build has no GPU kernels; install nvcc (CUDA toolkit 12.8 or newer) and run npm run build:native";
  if (driver.version / 1000 < kToolkitVersion / 1000)
    return "the installed NVIDIA driver is for CUDA " + version_text(driver.version) +
           ", this build's kernels need a driver for CUDA " + version_text(kToolkitVersion / 1000 * 1000) + " or newer";
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
    opened.why_not = ask(opened.driver);
  }
  return opened;
}

}  // namespace

const Driver& driver(std::string* why_not) {
  static const Opened opened = open_driver();
  *why_not = opened.why_not;
  return opened.driver;
}

std::string code_of(const Driver& driver, Result result) {
  const char* name = nullptr;
  driver.cuGetErrorName(result, &name);
  return name ? name : "error " + std::to_string(result);
}

std::string describe(const Driver& driver, Result result) {
  const char* words = nullptr;
  driver.cuGetErrorString(result, &words);
  return words ? code_of(driver, result) + " (" + words + ")" : code_of(driver, result);
}

int64_t free_bytes(const Driver& driver, const Gpu& gpu) {
  Context context = nullptr;
  if (driver.cuDevicePrimaryCtxRetain(&context, gpu.number)) return -1;
  size_t free = 0, total = 0;
  const bool known = !driver.cuCtxSetCurrent(context) && !driver.cuMemGetInfo_v2(&free, &total);
  driver.cuCtxSetCurrent(nullptr);
  driver.cuDevicePrimaryCtxRelease_v2(gpu.number);
  return known ? static_cast<int64_t>(free) : -1;
}

}  // namespace noisewright::cuda

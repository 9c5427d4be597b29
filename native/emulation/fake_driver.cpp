// libfakecuda.so: a look-alike of the CUDA driver that runs the kernels of this build on the CPU. For tests; never
// shipped. The addon opens it when NOISEWRIGHT_LIBCUDA names it. What it does beside that is chosen by the environment:
//   NOISEWRIGHT_EMULATION_ORDER    forward (default), reverse or random:<seed>: the order in which the threads of a
//   kernel run NOISEWRIGHT_EMULATION_REPLACE  <kernel>=<other kernel>: runs another one, with the same arguments (see
//   tests/mistakes.cu) NOISEWRIGHT_EMULATION_FAIL     <driver function>=<error number>: that function fails
//   NOISEWRIGHT_EMULATION_DEVICE   <count>,<compute capability, e.g. 75>,<CUDA version, e.g. 12040>: what it claims to
//   be
// All but the last are read at each call.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "cuda/driver.h"
#include "emulation/cuda_on_cpu.h"
#include "emulation/memory.h"

namespace noisewright::cuda {

namespace {

constexpr Result kInvalidValue = 1;
constexpr Result kErrorInKernel = 9999;  // beyond the real driver's numbers
thread_local std::string error_in_kernel;

std::string setting(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

// What NOISEWRIGHT_EMULATION_<name> says about `key`, from "key=value".
std::string setting_for(const char* name, const std::string& key) {
  const std::string text = setting(name);
  return text.rfind(key + "=", 0) == 0 ? text.substr(key.size() + 1) : "";
}

Result wanted_failure(const char* function) {
  const std::string error = setting_for("NOISEWRIGHT_EMULATION_FAIL", function);
  return error.empty() ? 0 : std::atoi(error.c_str());
}

struct Claims {
  int count = 1, capability = 80, version = 99000;
};
Claims claims() {
  Claims c;
  std::sscanf(setting("NOISEWRIGHT_EMULATION_DEVICE").c_str(), "%d,%d,%d", &c.count, &c.capability, &c.version);
  return c;
}

void* as_pointer(DevicePointer data) { return reinterpret_cast<void*>(data); }

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

// Tells the addon what it has opened.
int noisewright_emulated_driver = 1;

#define FAIL_IF_WANTED \
  if (const Result wanted = wanted_failure(__func__)) return wanted

Result cuInit(unsigned) {
  FAIL_IF_WANTED;
  return 0;
}
Result cuDriverGetVersion(int* version) {
  *version = claims().version;
  return 0;
}
Result cuGetErrorName(Result error, const char** text) {
  *text = error == 0                   ? "CUDA_SUCCESS"
          : error == kInvalidValue     ? "CUDA_ERROR_INVALID_VALUE"
          : error == kErrorOutOfMemory ? "CUDA_ERROR_OUT_OF_MEMORY"
          : error == kErrorNotFound    ? "CUDA_ERROR_NOT_FOUND"
          : error == 100               ? "CUDA_ERROR_NO_DEVICE"
          : error == 700               ? "CUDA_ERROR_ILLEGAL_ADDRESS"
          : error == 999               ? "CUDA_ERROR_UNKNOWN"
          : error == kErrorInKernel    ? "ERROR_IN_EMULATED_KERNEL"
                                       : nullptr;
  return *text ? 0 : kInvalidValue;
}
Result cuGetErrorString(Result error, const char** text) {
  *text = error == kErrorInKernel ? error_in_kernel.c_str() : "emulated";
  return 0;
}
Result cuDeviceGetCount(int* count) {
  FAIL_IF_WANTED;
  *count = claims().count;
  return 0;
}
Result cuDeviceGet(DeviceNumber* device, int ordinal) {
  *device = ordinal;
  return ordinal < claims().count ? 0 : kInvalidValue;
}
Result cuDeviceGetName(char* name, int length, DeviceNumber) {
  std::snprintf(name, static_cast<size_t>(length), "CUDA emulated on the CPU");
  return 0;
}
Result cuDeviceGetAttribute(int* value, int attribute, DeviceNumber) {
  const int capability = claims().capability;
  if (attribute == kAttributeComputeCapabilityMajor) return *value = capability / 10, 0;
  if (attribute == kAttributeComputeCapabilityMinor) return *value = capability % 10, 0;
  return kInvalidValue;
}
Result cuDevicePrimaryCtxRetain(Context* context, DeviceNumber) {
  FAIL_IF_WANTED;
  *context = reinterpret_cast<Context>(&noisewright_emulated_driver);
  return 0;
}
Result cuCtxSetCurrent(Context) { return 0; }
Result cuStreamCreate(Stream* stream, unsigned) {
  FAIL_IF_WANTED;
  *stream = reinterpret_cast<Stream>(&noisewright_emulated_driver);
  return 0;
}
Result cuStreamSynchronize(Stream) {
  FAIL_IF_WANTED;
  return 0;
}
Result cuMemAlloc_v2(DevicePointer* data, size_t bytes) {
  FAIL_IF_WANTED;
  *data = reinterpret_cast<DevicePointer>(emulation::allocate(bytes));
  return *data ? 0 : kErrorOutOfMemory;
}
Result cuMemFree_v2(DevicePointer data) { return emulation::release(as_pointer(data)) ? 0 : kInvalidValue; }
Result cuMemcpyHtoDAsync_v2(DevicePointer to, const void* from, size_t bytes, Stream) {
  FAIL_IF_WANTED;
  return emulation::copy_in(as_pointer(to), from, bytes) ? 0 : kInvalidValue;
}
Result cuMemcpyDtoHAsync_v2(void* to, DevicePointer from, size_t bytes, Stream) {
  FAIL_IF_WANTED;
  return emulation::copy_out(to, as_pointer(from), bytes) ? 0 : kInvalidValue;
}
// The kernels come from the list that KERNEL fills, not from the image; an image that is there must look like one.
Result cuModuleLoadData(Module* module, const void* image) {
  FAIL_IF_WANTED;
  constexpr uint32_t kFatbinMagic = 0xBA55ED50;
  uint32_t magic = kFatbinMagic;
  if (image) std::memcpy(&magic, image, sizeof magic);
  *module = reinterpret_cast<Module>(&noisewright_emulated_driver);
  return magic == kFatbinMagic ? 0 : kInvalidValue;
}
Result cuModuleGetFunction(Function* function, Module, const char* name) {
  const auto* kernel = emulation::RegisteredKernel::find(name);
  *function = reinterpret_cast<Function>(const_cast<emulation::RegisteredKernel*>(kernel));
  return kernel ? 0 : kErrorNotFound;
}
Result cuFuncSetAttribute(Function, int, int value) { return value <= 227 << 10 ? 0 : kInvalidValue; }

Result cuLaunchKernel(Function function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                      unsigned block_y, unsigned block_z, unsigned shared_bytes, Stream, void** arguments, void**) {
  FAIL_IF_WANTED;
  try {
    auto* kernel = reinterpret_cast<const emulation::RegisteredKernel*>(function);
    if (const std::string other = setting_for("NOISEWRIGHT_EMULATION_REPLACE", kernel->name); !other.empty())
      kernel = emulation::RegisteredKernel::find(other);
    if (!kernel) return kErrorNotFound;
    const auto schedule = emulation::Schedule::parse(setting("NOISEWRIGHT_EMULATION_ORDER"));
    const emulation::KernelAccess access;
    emulation::launch(kernel->call, {grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, shared_bytes, arguments,
                      schedule);
    return 0;
  } catch (const std::exception& error) {
    error_in_kernel = error.what();
    return kErrorInKernel;
  }
}

}  // extern "C"
#pragma GCC visibility pop

}  // namespace noisewright::cuda

// The CUDA driver API, opened on the first question about GPUs. The declarations are our own: the host code builds,
// links and loads where nothing of CUDA is installed.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

namespace noisewright::cuda {

using Result = int;  // 0 is success
using DeviceNumber = int;
using DevicePointer = unsigned long long;
using Context = struct OpaqueContext*;
using Module = struct OpaqueModule*;
using Function = struct OpaqueFunction*;
using Stream = struct OpaqueStream*;

constexpr Result kErrorOutOfMemory = 2;
constexpr Result kErrorNotFound = 500;
constexpr int kAttributeComputeCapabilityMajor = 75;
constexpr int kAttributeComputeCapabilityMinor = 76;
constexpr int kFunctionMaxDynamicSharedBytes = 8;
constexpr unsigned kStreamNonBlocking = 1;

// Every function the addon asks the driver for, by the name of its symbol (cuda.h renames some calls: the _v2 is part
// of the name).
#define CUDA_DRIVER_FUNCTIONS(F)                                                                               \
  F(cuInit, (unsigned flags))                                                                                  \
  F(cuDriverGetVersion, (int* version))                                                                        \
  F(cuGetErrorName, (Result error, const char** text))                                                         \
  F(cuGetErrorString, (Result error, const char** text))                                                       \
  F(cuDeviceGetCount, (int* count))                                                                            \
  F(cuDeviceGet, (DeviceNumber * device, int ordinal))                                                         \
  F(cuDeviceGetName, (char* name, int length, DeviceNumber device))                                            \
  F(cuDeviceGetAttribute, (int* value, int attribute, DeviceNumber device))                                    \
  F(cuDevicePrimaryCtxRetain, (Context * context, DeviceNumber device))                                        \
  F(cuCtxSetCurrent, (Context context))                                                                        \
  F(cuStreamCreate, (Stream * stream, unsigned flags))                                                         \
  F(cuStreamSynchronize, (Stream stream))                                                                      \
  F(cuMemAlloc_v2, (DevicePointer * data, size_t bytes))                                                       \
  F(cuMemFree_v2, (DevicePointer data))                                                                        \
  F(cuMemcpyHtoDAsync_v2, (DevicePointer to, const void* from, size_t bytes, Stream stream))                   \
  F(cuMemcpyDtoHAsync_v2, (void* to, DevicePointer from, size_t bytes, Stream stream))                         \
  F(cuModuleLoadData, (Module * module, const void* image))                                                    \
  F(cuModuleGetFunction, (Function * function, Module module, const char* name))                               \
  F(cuFuncSetAttribute, (Function function, int attribute, int value))                                         \
  F(cuLaunchKernel,                                                                                            \
    (Function function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y, \
     unsigned block_z, unsigned shared_bytes, Stream stream, void** arguments, void** extra))

struct Driver {
#define F(name, arguments) Result(*name) arguments = nullptr;
  CUDA_DRIVER_FUNCTIONS(F)
#undef F
  DeviceNumber device = 0;  // the first one; CUDA_VISIBLE_DEVICES chooses which that is
  bool emulated = false;    // the look-alike of native/emulation: kernels run on the CPU
};

// The driver with a GPU that can run this build's kernels, or null; why_not receives one sentence that says what is
// missing. The library is libcuda.so.1, or, for tests, the one that NOISEWRIGHT_LIBCUDA names when this is first
// called.
const Driver* driver(std::string* why_not);

// "CUDA_ERROR_X (the driver's own words)".
std::string describe(const Driver& driver, Result result);

// The compiled kernels inside this binary, one for each *_cuda.cu; ends with a null. Made by cmake/CudaFatbin.cmake.
struct Image {
  const char* name;
  const void* data;
};
extern const Image kImages[];
extern const int kToolkitVersion;  // of the nvcc that made them, major * 1000 + minor * 10; 0 when there was none
extern const char* const kArchitectures[];  // "80", "86", ...: what they are compiled for; ends with a null

}  // namespace noisewright::cuda

// The CUDA driver API, opened on the first question about GPUs. The declarations are our own: the host code builds,
// links and loads where nothing of CUDA is installed.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace noisewright::cuda {

using Result = int;  // 0 is success
using DeviceNumber = int;
using DevicePointer = unsigned long long;
inline DevicePointer as_number(const void* data) { return reinterpret_cast<DevicePointer>(data); }
using Context = struct OpaqueContext*;
using Module = struct OpaqueModule*;
using Function = struct OpaqueFunction*;
using Stream = struct OpaqueStream*;
using Event = struct OpaqueEvent*;
using Graph = struct OpaqueGraph*;
using GraphExec = struct OpaqueGraphExec*;

constexpr Result kErrorOutOfMemory = 2;
constexpr Result kErrorNotFound = 500;
constexpr int kAttributeClockRate = 13;  // kHz
constexpr int kAttributeMultiprocessorCount = 16;
constexpr int kAttributeComputeCapabilityMajor = 75;
constexpr int kAttributeComputeCapabilityMinor = 76;
constexpr int kFunctionMaxDynamicSharedBytes = 8;
constexpr unsigned kStreamNonBlocking = 1;
constexpr unsigned kEventDisableTiming = 2;
constexpr unsigned kHostPortable = 1, kHostDeviceMap = 2;
constexpr int kCaptureRelaxed = 2;

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
  F(cuDeviceTotalMem_v2, (size_t* bytes, DeviceNumber device))                                                 \
  F(cuDevicePrimaryCtxRetain, (Context * context, DeviceNumber device))                                        \
  F(cuDevicePrimaryCtxRelease_v2, (DeviceNumber device))                                                       \
  F(cuCtxSetCurrent, (Context context))                                                                        \
  F(cuStreamCreate, (Stream * stream, unsigned flags))                                                         \
  F(cuStreamSynchronize, (Stream stream))                                                                      \
  F(cuStreamWaitEvent, (Stream stream, Event event, unsigned flags))                                           \
  F(cuEventCreate, (Event * event, unsigned flags))                                                            \
  F(cuEventRecord, (Event event, Stream stream))                                                               \
  F(cuEventSynchronize, (Event event))                                                                         \
  F(cuMemGetInfo_v2, (size_t* free, size_t* total))                                                            \
  F(cuMemAlloc_v2, (DevicePointer * data, size_t bytes))                                                       \
  F(cuMemFree_v2, (DevicePointer data))                                                                        \
  F(cuMemHostAlloc, (void** data, size_t bytes, unsigned flags))                                               \
  F(cuMemHostGetDevicePointer_v2, (DevicePointer * device, void* data, unsigned flags))                        \
  F(cuMemFreeHost, (void* data))                                                                               \
  F(cuMemcpyHtoDAsync_v2, (DevicePointer to, const void* from, size_t bytes, Stream stream))                   \
  F(cuMemcpyDtoHAsync_v2, (void* to, DevicePointer from, size_t bytes, Stream stream))                         \
  F(cuMemcpyDtoDAsync_v2, (DevicePointer to, DevicePointer from, size_t bytes, Stream stream))                 \
  F(cuModuleLoadData, (Module * module, const void* image))                                                    \
  F(cuModuleGetFunction, (Function * function, Module module, const char* name))                               \
  F(cuFuncSetAttribute, (Function function, int attribute, int value))                                         \
  F(cuLaunchKernel,                                                                                            \
    (Function function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y, \
     unsigned block_z, unsigned shared_bytes, Stream stream, void** arguments, void** extra))

// Those that older drivers lack: without them nothing is captured.
#define CUDA_GRAPH_FUNCTIONS(F)                                                             \
  F(cuStreamBeginCapture_v2, (Stream stream, int mode))                                     \
  F(cuStreamEndCapture, (Stream stream, Graph * graph))                                     \
  F(cuGraphInstantiateWithFlags, (GraphExec * exec, Graph graph, unsigned long long flags)) \
  F(cuGraphLaunch, (GraphExec exec, Stream stream))                                         \
  F(cuGraphExecDestroy, (GraphExec exec))                                                   \
  F(cuGraphDestroy, (Graph graph))

// A GPU that the driver shows; CUDA_VISIBLE_DEVICES, which is the driver's own, chooses which these are.
struct Gpu {
  DeviceNumber number = 0;
  std::string name;
  int major = 0, minor = 0;                // compute capability
  int multiprocessors = 0, clock_khz = 0;  // 0: the driver does not say
  int64_t total_bytes = 0;
  std::string why_not;  // this build's kernels do not run there; empty when they do
};

struct Driver {
#define F(name, arguments) Result(*name) arguments = nullptr;
  CUDA_DRIVER_FUNCTIONS(F)
  CUDA_GRAPH_FUNCTIONS(F)
#undef F
  std::string no_graphs;  // why nothing is captured, or nothing
  bool emulated = false;  // the look-alike of native/emulation: kernels run on the CPU
  int version = 0;        // newest CUDA it can serve: major * 1000 + minor * 10
  std::vector<Gpu> gpus;
};

// The driver, as far as it could be asked. why_not receives one sentence that says why no kernel of this build can run
// on any of its GPUs; empty when GPUs may be used. The library is libcuda.so.1, or, for tests, the one that
// NOISEWRIGHT_LIBCUDA names when this is first called. Starting a driver can take a second.
const Driver& driver(std::string* why_not);

// "CUDA_ERROR_X (the driver's own words)".
std::string describe(const Driver& driver, Result result);
// "CUDA_ERROR_X".
std::string code_of(const Driver& driver, Result result);

// Bytes free on a GPU, or -1 where the driver does not say. Starts the GPU if nothing has; not for JavaScript's thread.
int64_t free_bytes(const Driver& driver, const Gpu& gpu);

// The compiled kernels inside this binary, one for each *_cuda.cu; ends with a null. Made by cmake/CudaFatbin.cmake.
struct Image {
  const char* name;
  const void* data;
};
extern const Image kImages[];
extern const int kToolkitVersion;  // of the nvcc that made them, major * 1000 + minor * 10; 0 when there was none
extern const char* const kArchitectures[];  // "80", "86", ...: what they are compiled for; ends with a null

}  // namespace noisewright::cuda

// libfakecuda.so: a look-alike of the CUDA driver that runs the kernels of this build on the CPU. For tests; never
// shipped. The addon opens it when NOISEWRIGHT_LIBCUDA names it. What it does beside that is chosen by the environment
// (settings.h).
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "cuda/driver.h"
#include "emulation/cuda_on_cpu.h"
#include "emulation/graphs.h"
#include "emulation/memory.h"
#include "emulation/settings.h"
#include "emulation/streams.h"

namespace noisewright::cuda {

namespace {

using emulation::claims;
using emulation::setting;
using emulation::setting_for;

constexpr Result kInvalidValue = 1;
constexpr Result kInvalidContext = 201;
constexpr Result kInvalidHandle = 400;
constexpr Result kErrorInKernel = 9999;  // beyond the real driver's numbers
thread_local std::string error_in_kernel;
thread_local int current_device = -1;

std::optional<Result> wanted_result(const char* function) {
  const std::string result = setting_for("FAIL", function);
  return result.empty() ? std::nullopt : std::optional<Result>(std::atoi(result.c_str()));
}

// Contexts and modules are a device's number, plus one.
template <class Handle>
Handle handle_of(int device) {
  return reinterpret_cast<Handle>(static_cast<uintptr_t>(device) + 1);
}
template <class Handle>
int device_of(Handle handle) {
  return static_cast<int>(reinterpret_cast<uintptr_t>(handle)) - 1;
}

// A kernel as a module of one device holds it.
struct LoadedKernel {
  const emulation::RegisteredKernel* kernel;
  int device;
};

std::mutex mutex;
auto& loaded_kernels() {
  static auto* set = new std::map<std::pair<std::string, int>, LoadedKernel>();
  return *set;
}
auto& pinned_blocks() {
  static auto* set = new std::map<char*, size_t>();
  return *set;
}

bool is_pinned(const void* data) {
  std::lock_guard lock(mutex);
  auto* at = static_cast<char*>(const_cast<void*>(data));
  const auto after = pinned_blocks().upper_bound(at);
  if (after == pinned_blocks().begin()) return false;
  const auto& [start, bytes] = *std::prev(after);
  return at < start + bytes;
}

void* as_pointer(DevicePointer data) { return reinterpret_cast<void*>(data); }

Result copy(Stream stream, std::function<Result()> work, bool with_host) {
  if (const auto captured = emulation::capture(stream, work)) return *captured;
  return emulation::postpone(stream, std::move(work), with_host);
}

// The arguments of a kernel, each with the alignment that any type needs.
using ArgumentCopies = std::vector<std::vector<std::max_align_t>>;
ArgumentCopies copies_of(void** arguments, const size_t* sizes) {
  ArgumentCopies copies;
  for (; *sizes; sizes++, arguments++) {
    copies.emplace_back((*sizes + sizeof(std::max_align_t) - 1) / sizeof(std::max_align_t));
    std::memcpy(copies.back().data(), *arguments, *sizes);
  }
  return copies;
}

// On the calling thread's device.
Result run_kernel(const emulation::RegisteredKernel* kernel, dim3 grid, dim3 block, size_t shared_bytes,
                  void** arguments) {
  try {
    if (const std::string other = setting_for("REPLACE", kernel->name); !other.empty())
      kernel = emulation::RegisteredKernel::find(other);
    if (!kernel) return kErrorNotFound;
    const auto schedule = emulation::Schedule::parse(setting("ORDER"));
    const emulation::KernelAccess access(current_device);
    emulation::launch(kernel->call, grid, block, shared_bytes, arguments, schedule);
    return 0;
  } catch (const std::exception& error) {
    error_in_kernel = error.what();
    return kErrorInKernel;
  }
}

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

// Tells the addon what it has opened.
int noisewright_emulated_driver = 1;

#define FAIL_IF_WANTED \
  if (const auto wanted = wanted_result(__func__)) return *wanted

Result cuInit(unsigned) {
  FAIL_IF_WANTED;
  std::this_thread::sleep_for(std::chrono::milliseconds(std::atoi(setting("START").c_str())));
  return 0;
}
Result cuDriverGetVersion(int* version) {
  *version = claims().version;
  return 0;
}
Result cuGetErrorName(Result error, const char** text) {
  *text = error == 0                                ? "CUDA_SUCCESS"
          : error == kInvalidValue                  ? "CUDA_ERROR_INVALID_VALUE"
          : error == kErrorOutOfMemory              ? "CUDA_ERROR_OUT_OF_MEMORY"
          : error == kErrorNotFound                 ? "CUDA_ERROR_NOT_FOUND"
          : error == 100                            ? "CUDA_ERROR_NO_DEVICE"
          : error == kInvalidContext                ? "CUDA_ERROR_INVALID_CONTEXT"
          : error == kInvalidHandle                 ? "CUDA_ERROR_INVALID_HANDLE"
          : error == 700                            ? "CUDA_ERROR_ILLEGAL_ADDRESS"
          : error == emulation::kIllegalState       ? "CUDA_ERROR_ILLEGAL_STATE"
          : error == emulation::kCaptureUnsupported ? "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"
          : error == emulation::kCaptureInvalidated ? "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"
          : error == emulation::kCaptureUnjoined    ? "CUDA_ERROR_STREAM_CAPTURE_UNJOINED"
          : error == emulation::kCaptureIsolation   ? "CUDA_ERROR_STREAM_CAPTURE_ISOLATION"
          : error == emulation::kCapturedEvent      ? "CUDA_ERROR_CAPTURED_EVENT"
          : error == emulation::kCaptureWrongThread ? "CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD"
          : error == 999                            ? "CUDA_ERROR_UNKNOWN"
          : error == kErrorInKernel                 ? "ERROR_IN_EMULATED_KERNEL"
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
Result cuDeviceGetAttribute(int* value, int attribute, DeviceNumber device) {
  FAIL_IF_WANTED;
  const int capability = claims().capability(device);
  if (attribute == kAttributeComputeCapabilityMajor) return *value = capability / 10, 0;
  if (attribute == kAttributeComputeCapabilityMinor) return *value = capability % 10, 0;
  return kInvalidValue;
}
Result cuDeviceTotalMem_v2(size_t* bytes, DeviceNumber) {
  *bytes = claims().bytes;
  return 0;
}
Result cuDevicePrimaryCtxRetain(Context* context, DeviceNumber device) {
  FAIL_IF_WANTED;
  *context = handle_of<Context>(device);
  return 0;
}
Result cuDevicePrimaryCtxRelease_v2(DeviceNumber) { return 0; }
Result cuCtxSetCurrent(Context context) {
  FAIL_IF_WANTED;
  current_device = device_of(context);
  return 0;
}

Result cuStreamCreate(Stream* stream, unsigned) {
  FAIL_IF_WANTED;
  if (current_device < 0) return kInvalidContext;
  *stream = emulation::new_stream(current_device);
  return 0;
}
Result cuStreamSynchronize(Stream stream) {
  FAIL_IF_WANTED;
  if (const auto refused = emulation::forbid(stream)) return *refused;
  return emulation::finish(stream);
}
Result cuStreamWaitEvent(Stream stream, Event event, unsigned) {
  FAIL_IF_WANTED;
  if (const auto captured = emulation::capture_wait(stream, event)) return *captured;
  return emulation::let_wait(stream, event);
}
Result cuEventCreate(Event* event, unsigned) {
  FAIL_IF_WANTED;
  *event = emulation::new_event();
  return 0;
}
Result cuEventRecord(Event event, Stream stream) {
  FAIL_IF_WANTED;
  if (const auto captured = emulation::capture_record(event, stream)) return *captured;
  return emulation::record(event, stream);
}
Result cuEventSynchronize(Event event) {
  FAIL_IF_WANTED;
  while (setting("HOLD") == "1") std::this_thread::sleep_for(std::chrono::milliseconds(1));
  if (const auto refused = emulation::forbid(event)) return *refused;
  return emulation::finish(event);
}

Result cuMemGetInfo_v2(size_t* free, size_t* total) {
  FAIL_IF_WANTED;
  if (current_device < 0) return kInvalidContext;
  *total = claims().bytes;
  *free = *total - std::min(*total, emulation::bytes_taken(current_device));
  return 0;
}
Result cuMemAlloc_v2(DevicePointer* data, size_t bytes) {
  FAIL_IF_WANTED;
  if (const auto refused = emulation::forbid_unsafe()) return *refused;
  if (current_device < 0) return kInvalidContext;
  if (emulation::bytes_taken(current_device) + bytes > claims().bytes) return kErrorOutOfMemory;
  *data = reinterpret_cast<DevicePointer>(emulation::allocate(bytes, current_device));
  return *data ? 0 : kErrorOutOfMemory;
}
Result cuMemFree_v2(DevicePointer data) {
  if (const auto refused = emulation::forbid_unsafe()) return *refused;
  return emulation::release(as_pointer(data)) ? 0 : kInvalidValue;
}
Result cuMemHostAlloc(void** data, size_t bytes, unsigned flags) {
  FAIL_IF_WANTED;
  if (current_device < 0) return kInvalidContext;
  if (const auto refused = emulation::forbid_unsafe()) return *refused;
  std::lock_guard lock(mutex);
  *data = flags & kHostDeviceMap ? emulation::allocate_mapped(bytes) : std::malloc(bytes);
  if (!*data) return kErrorOutOfMemory;
  pinned_blocks()[static_cast<char*>(*data)] = bytes;
  return 0;
}
Result cuMemHostGetDevicePointer_v2(DevicePointer* device, void* data, unsigned) {
  FAIL_IF_WANTED;
  *device = reinterpret_cast<DevicePointer>(emulation::device_side(data));
  return *device ? 0 : kInvalidValue;
}
Result cuMemFreeHost(void* data) {
  std::lock_guard lock(mutex);
  if (pinned_blocks().erase(static_cast<char*>(data)) == 0) return kInvalidValue;
  if (!emulation::release_mapped(data)) std::free(data);
  return 0;
}

// Pageable memory is taken into the driver's before the call returns, and filled before it returns; pinned memory is
// read and written when the copy is made. A stream that captures takes no copies from or to pageable memory here, which
// is stricter than the manual, and keeps the others.
Result cuMemcpyHtoDAsync_v2(DevicePointer to, const void* from, size_t bytes, Stream stream) {
  FAIL_IF_WANTED;
  std::vector<char> taken;
  const bool pinned = is_pinned(from);
  if (!pinned)
    if (const auto refused = emulation::forbid(stream)) return *refused;
  if (!pinned) taken.assign(static_cast<const char*>(from), static_cast<const char*>(from) + bytes);
  return copy(
      stream,
      [=, taken = std::move(taken)] {
        return emulation::copy_in(as_pointer(to), pinned ? from : taken.data(), bytes) ? 0 : kInvalidValue;
      },
      true);
}
Result cuMemcpyDtoHAsync_v2(void* to, DevicePointer from, size_t bytes, Stream stream) {
  FAIL_IF_WANTED;
  if (!is_pinned(to))
    if (const auto refused = emulation::forbid(stream)) return *refused;
  const Result postponed =
      copy(stream, [=] { return emulation::copy_out(to, as_pointer(from), bytes) ? 0 : kInvalidValue; }, true);
  return postponed || is_pinned(to) ? postponed : emulation::finish(stream);
}
Result cuMemcpyDtoDAsync_v2(DevicePointer to, DevicePointer from, size_t bytes, Stream stream) {
  FAIL_IF_WANTED;
  return copy(
      stream, [=] { return emulation::copy_within(as_pointer(to), as_pointer(from), bytes) ? 0 : kInvalidValue; },
      false);
}
// The kernels come from the list that KERNEL fills, not from the image; an image that is there must look like one.
Result cuModuleLoadData(Module* module, const void* image) {
  FAIL_IF_WANTED;
  constexpr uint32_t kFatbinMagic = 0xBA55ED50;
  uint32_t magic = kFatbinMagic;
  if (image) std::memcpy(&magic, image, sizeof magic);
  if (current_device < 0) return kInvalidContext;
  *module = handle_of<Module>(current_device);
  return magic == kFatbinMagic ? 0 : kInvalidValue;
}
Result cuModuleGetFunction(Function* function, Module module, const char* name) {
  const auto* kernel = emulation::RegisteredKernel::find(name);
  if (!kernel) return kErrorNotFound;
  std::lock_guard lock(mutex);
  const int device = device_of(module);
  LoadedKernel& loaded = loaded_kernels()[{name, device}];
  loaded = {kernel, device};
  *function = reinterpret_cast<Function>(&loaded);
  return 0;
}
Result cuFuncSetAttribute(Function, int, int value) { return value <= 227 << 10 ? 0 : kInvalidValue; }

Result cuLaunchKernel(Function function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                      unsigned block_y, unsigned block_z, unsigned shared_bytes, Stream stream, void** arguments,
                      void**) {
  FAIL_IF_WANTED;
  const auto& loaded = *reinterpret_cast<const LoadedKernel*>(function);
  if (loaded.device != current_device || emulation::device_of(stream) != current_device) return kInvalidHandle;
  const auto run = [=, kernel = loaded.kernel](void** values) {
    return run_kernel(kernel, {grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, shared_bytes, values);
  };
  const auto captured =
      emulation::capture(stream, [run, copies = copies_of(arguments, loaded.kernel->argument_sizes)]() mutable {
        std::vector<void*> values;
        for (auto& copy : copies) values.push_back(copy.data());
        return run(values.data());
      });
  if (captured) return *captured;
  if (const Result before = emulation::finish(stream)) return before;
  return run(arguments);
}

Result cuStreamBeginCapture_v2(Stream stream, int mode) {
  FAIL_IF_WANTED;
  return emulation::device_of(stream) < 0 ? kInvalidHandle : emulation::begin_capture(stream, mode);
}
Result cuStreamEndCapture(Stream stream, Graph* graph) {
  const Result result = emulation::end_capture(stream, graph);
  FAIL_IF_WANTED;
  return result;
}
Result cuGraphInstantiateWithFlags(GraphExec* exec, Graph graph, unsigned long long) {
  FAIL_IF_WANTED;
  return current_device < 0 ? kInvalidContext : emulation::instantiate(exec, graph, current_device);
}
Result cuGraphLaunch(GraphExec exec, Stream stream) {
  FAIL_IF_WANTED;
  if (emulation::device_of(stream) != current_device) return kInvalidHandle;
  // A stream that captures would keep the graph as one node.
  if (const auto refused = emulation::forbid(stream)) return *refused;
  if (const Result before = emulation::finish(stream)) return before;
  return emulation::launch_graph(exec, current_device);
}
Result cuGraphExecDestroy(GraphExec exec) { return emulation::destroy(exec); }
Result cuGraphDestroy(Graph graph) { return emulation::destroy(graph); }

}  // extern "C"
#pragma GCC visibility pop

}  // namespace noisewright::cuda

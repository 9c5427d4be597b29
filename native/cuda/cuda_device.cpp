// The GPU as a device: one stream in the primary context, fed by the queue's thread. Everything the addon does on the
// GPU goes through that stream, so memory may return to the pool while a kernel that uses it has yet to run: its next
// user comes later in the stream.
#include <cstdlib>
#include <unordered_map>

#include "core/check.h"
#include "core/device.h"
#include "cuda/driver.h"
#include "cuda/launch.h"

namespace noisewright {

namespace {

using namespace cuda;

// After these the driver refuses everything else in this process.
bool context_is_lost(Result result) {
  return result == 214 || (result >= 700 && result <= 719 && result != 701 && result != 708);
}

[[noreturn]] void fail_here(ErrorKind kind, const std::string& text) {
  fail(kind, Device::running()->running_op(), text);
}

[[noreturn]] void fail_driver(const Driver& api, const std::string& doing, Result result) {
  std::string text = doing + ": the CUDA driver says " + describe(api, result);
  if (context_is_lost(result))
    text += "; the GPU cannot be used again in this process: save what is on the CPU and restart";
  fail_here(ErrorKind::kDevice, text);
}

DevicePointer as_number(const void* data) { return reinterpret_cast<DevicePointer>(data); }

class CudaMemory final : public MemorySource {
 public:
  explicit CudaMemory(const Driver& api) : api_(api) {}
  // Called once, by the device thread, before any allocation.
  void set_context(Context context, Stream stream, std::string failure) {
    context_ = context;
    stream_ = stream;
    failure_ = std::move(failure);
  }

  void* take(size_t bytes) override {
    if (!failure_.empty()) fail_here(ErrorKind::kDevice, failure_);
    enter();
    DevicePointer data = 0;
    const Result r = api_.cuMemAlloc_v2(&data, bytes);
    if (r == kErrorOutOfMemory) return nullptr;
    if (r) fail_driver(api_, "allocating " + std::to_string(bytes) + " bytes", r);
    return reinterpret_cast<void*>(data);
  }
  // Errors are left for the next call that can report them.
  void give(void* data, size_t) override {
    enter();
    api_.cuStreamSynchronize(stream_);
    api_.cuMemFree_v2(as_number(data));
  }

 private:
  // Memory may be given back by any thread, and the current context is a property of the thread.
  void enter() { api_.cuCtxSetCurrent(context_); }

  const Driver& api_;
  Context context_ = nullptr;
  Stream stream_ = nullptr;
  std::string failure_;
};

class CudaDevice final : public Device {
 public:
  CudaDevice(const Driver& api, CudaMemory* memory) : Device(DeviceKind::kCuda, memory), api_(api), memory_(memory) {
    const char* wait = std::getenv("NOISEWRIGHT_CUDA_WAIT");
    wait_for_each_ = wait && *wait && *wait != '0';
  }

  // Does not wait for the GPU: the driver takes pageable memory into its own before it returns ("API synchronization
  // behavior" in NVIDIA's driver manual), so `from` may go away.
  void upload(void* to, const void* from, size_t bytes) override {
    if (bytes == 0) return;
    if (Result r = api_.cuMemcpyHtoDAsync_v2(as_number(to), from, bytes, stream_)) fail_driver(api_, "upload", r);
  }
  void download(void* to, const void* from, size_t bytes) override {
    if (bytes == 0) return;
    if (Result r = api_.cuMemcpyDtoHAsync_v2(to, as_number(from), bytes, stream_)) fail_driver(api_, "download", r);
    wait("download, or a kernel before it (NOISEWRIGHT_CUDA_WAIT=1 tells which)");
  }

  void launch(const char* kernel, Size3 grid, Size3 block, size_t shared_bytes, void** arguments) {
    if (!failure_.empty()) fail_here(ErrorKind::kDevice, failure_);
    if (grid.x * grid.y * grid.z == 0) return;
    const std::string doing = std::string("kernel ") + kernel;
    if (grid.x > INT32_MAX || grid.y > 65535 || grid.z > 65535)
      fail_here(ErrorKind::kInternal, doing + ": a grid of " + std::to_string(grid.x) + " x " + std::to_string(grid.y) +
                                          " x " + std::to_string(grid.z) + " blocks is larger than CUDA allows");
    const Function function = find(kernel);
    constexpr size_t kWithoutAsking = 48 << 10;
    if (shared_bytes > kWithoutAsking)
      if (Result r = api_.cuFuncSetAttribute(function, kFunctionMaxDynamicSharedBytes, static_cast<int>(shared_bytes)))
        fail_driver(api_, doing + " with " + std::to_string(shared_bytes) + " bytes of shared memory", r);
    const auto n = [](int64_t size) { return static_cast<unsigned>(size); };
    if (Result r = api_.cuLaunchKernel(function, n(grid.x), n(grid.y), n(grid.z), n(block.x), n(block.y), n(block.z),
                                       n(shared_bytes), stream_, arguments, nullptr))
      fail_driver(api_, doing, r);
    if (wait_for_each_) wait(kernel);
  }

 protected:
  void start_thread() override {
    Context context = nullptr;
    Result r = api_.cuDevicePrimaryCtxRetain(&context, api_.device);
    if (!r) r = api_.cuCtxSetCurrent(context);
    if (!r) r = api_.cuStreamCreate(&stream_, kStreamNonBlocking);
    if (r) failure_ = "starting the GPU: the CUDA driver says " + describe(api_, r);
    memory_->set_context(context, stream_, failure_);
  }

 private:
  void wait(const char* what) {
    if (Result r = api_.cuStreamSynchronize(stream_)) fail_driver(api_, what, r);
  }

  Function find(const char* kernel) {
    const auto known = functions_.find(kernel);
    if (known != functions_.end()) return known->second;
    if (modules_.empty()) load_modules();
    for (Module module : modules_) {
      Function function = nullptr;
      const Result r = api_.cuModuleGetFunction(&function, module, kernel);
      if (!r) return functions_[kernel] = function;
      if (r != kErrorNotFound) fail_driver(api_, std::string("looking for kernel ") + kernel, r);
    }
    fail_here(ErrorKind::kDevice,
              std::string("kernel ") + kernel + " is not in this build; rebuild with npm run build:native");
  }

  void load_modules() {
    for (const Image* image = kImages; image->data; image++) load(image->data, image->name);
    if (modules_.empty())
      load(nullptr, "the emulated kernels");  // driver.cpp lets nothing else come here without images
  }
  void load(const void* data, const char* name) {
    Module module = nullptr;
    if (Result r = api_.cuModuleLoadData(&module, data))
      fail_driver(api_, std::string("loading the kernels of ") + name, r);
    modules_.push_back(module);
  }

  const Driver& api_;
  CudaMemory* memory_;
  Stream stream_ = nullptr;
  std::string failure_;  // why the context could not be made; device thread only
  bool wait_for_each_ = false;
  std::vector<Module> modules_;
  std::unordered_map<std::string, Function> functions_;
};

}  // namespace

Device* cuda_device(std::string* why_not) {
  const Driver* api = driver(why_not);
  if (!api) return nullptr;
  // Lives as long as the process, like the CPU device: its thread may still run while the process ends.
  static auto* memory = new CudaMemory(*api);
  static auto* device = new CudaDevice(*api, memory);
  return device;
}

void cuda::launch_packed(const char* kernel, Size3 grid, Size3 block, size_t shared_bytes, void** arguments) {
  static_cast<CudaDevice*>(Device::running())->launch(kernel, grid, block, shared_bytes, arguments);
}

}  // namespace noisewright

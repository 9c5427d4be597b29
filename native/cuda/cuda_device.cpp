// A GPU as a device: a stream in its primary context, fed by the queue's thread. Everything the kernels use is made,
// changed and read in the order of that stream, so memory may return to the pool while a kernel that uses it has yet to
// run: its next user comes later in the stream.
#include <cstdlib>
#include <map>
#include <optional>
#include <unordered_map>

#include "cuda/downloads.h"
#include "cuda/driver.h"
#include "cuda/failure.h"
#include "cuda/graphs.h"
#include "cuda/launch.h"
#include "cuda/memory.h"
#include "cuda/pinned.h"
#include "cuda/profiler.h"
#include "cuda/staging.h"

namespace noisewright {

namespace {

using namespace cuda;

class CudaDevice final : public Device {
 public:
  CudaDevice(const Driver& api, const Gpu& gpu, const std::string& name, CudaMemory* memory)
      : Device(DeviceKind::kCuda, name, memory), api_(api), gpu_(gpu), memory_(memory) {
    const char* wait = std::getenv("NOISEWRIGHT_CUDA_WAIT");
    wait_for_each_ = wait && *wait && *wait != '0';
  }

  void upload(void* to, const void* from, size_t bytes) override {
    if (bytes == 0) return;
    expect_no_capture("copies from the host");
    if (uploads_->ready()) return uploads_->upload(to, from, bytes);
    // The driver takes pageable memory into its own before it returns, and may wait for the stream first ("API
    // synchronization behavior" in NVIDIA's driver manual).
    check(api_, "upload", api_.cuMemcpyHtoDAsync_v2(as_number(to), from, bytes, compute_));
  }
  void download(void* to, const void* from, size_t bytes) override {
    if (bytes == 0) return;
    expect_no_capture("copies to the host");
    if (downloads_->ready()) return downloads_->download(to, from, bytes);
    check(api_, "download", api_.cuMemcpyDtoHAsync_v2(to, as_number(from), bytes, compute_));
    wait((std::string("download") + kOrAKernelBefore).c_str());
  }

  std::shared_ptr<void> take_pinned(size_t bytes) override {
    memory_->expect_context();
    return cuda::take_pinned(api_, *this, compute_, bytes);
  }

  void copy(void* to, const void* from, size_t bytes) override {
    if (bytes == 0) return;
    check(api_, "copy", api_.cuMemcpyDtoDAsync_v2(as_number(to), as_number(from), bytes, compute_));
  }

  void replay(Recording& recording, const Tensors& inputs,
              const std::vector<std::shared_ptr<Storage>>& outputs) override {
    const bool launched = graphs_->replay(recording, inputs, outputs);
    if (launched)
      recording.count(true);
    else
      Device::replay(recording, inputs, outputs);
  }

  void launch(const char* kernel, Size3 grid, Size3 block, size_t shared_bytes, void** arguments) {
    if (grid.x * grid.y * grid.z == 0) return;
    const std::string doing = std::string("kernel ") + kernel;
    if (grid.x > INT32_MAX || grid.y > 65535 || grid.z > 65535)
      fail_here(ErrorKind::kInternal, doing + ": a grid of " + std::to_string(grid.x) + " x " + std::to_string(grid.y) +
                                          " x " + std::to_string(grid.z) + " blocks is larger than CUDA allows");
    const Function function = find(kernel);
    constexpr size_t kWithoutAsking = 48 << 10;
    if (shared_bytes > kWithoutAsking)
      check(api_, doing + " with " + std::to_string(shared_bytes) + " bytes of shared memory",
            api_.cuFuncSetAttribute(function, kFunctionMaxDynamicSharedBytes, static_cast<int>(shared_bytes)));
    const auto n = [](int64_t size) { return static_cast<unsigned>(size); };
    check(api_, doing,
          api_.cuLaunchKernel(function, n(grid.x), n(grid.y), n(grid.z), n(block.x), n(block.y), n(block.z),
                              n(shared_bytes), compute_, arguments, nullptr));
    if (wait_for_each_) wait(kernel);
  }

 protected:
  void start_thread() override {
    Context context = nullptr;
    Stream up = nullptr, down = nullptr;
    Result r = api_.cuDevicePrimaryCtxRetain(&context, gpu_.number);
    if (!r) r = api_.cuCtxSetCurrent(context);
    if (!r) r = api_.cuStreamCreate(&compute_, kStreamNonBlocking);
    if (!r) r = api_.cuStreamCreate(&up, kStreamNonBlocking);
    if (!r) r = api_.cuStreamCreate(&down, kStreamNonBlocking);
    if (r)
      memory_->set_context(context, compute_, "starting the GPU: the CUDA driver says " + describe(api_, r),
                           code_of(api_, r));
    else
      memory_->set_context(context, compute_, "", "");
    uploads_.emplace(api_, compute_, up);
    downloads_.emplace(api_, context, compute_, down);
    graphs_.emplace(api_, *this, *memory_, compute_,
                    wait_for_each_ ? "NOISEWRIGHT_CUDA_WAIT waits for each kernel" : "");
  }
  void job_begins(const char* op) override { begin_range(op); }
  void job_ends() override { end_range(); }
  void settle(Job& job, std::shared_ptr<const Failure> failure) override {
    downloads_->settle(job.op, job.sequence, std::move(job.settled), std::move(failure));
  }

 private:
  void expect_no_capture(const char* what) {
    if (graphs_->capturing()) fail_here(ErrorKind::kDevice, std::string(what) + ", which no CUDA graph repeats");
  }
  void wait(const char* what) { check(api_, what, api_.cuStreamSynchronize(compute_)); }

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
    check(api_, std::string("loading the kernels of ") + name, api_.cuModuleLoadData(&module, data));
    modules_.push_back(module);
  }

  const Driver& api_;
  const Gpu& gpu_;
  CudaMemory* memory_;
  Stream compute_ = nullptr;
  std::optional<Uploads> uploads_;  // made on the device thread, as the next ones
  std::optional<Downloads> downloads_;
  std::optional<Graphs> graphs_;
  bool wait_for_each_ = false;
  std::vector<Module> modules_;
  std::unordered_map<std::string, Function> functions_;
};

// One for each GPU, when it is first asked for.
std::mutex devices_mutex;
std::map<int, Device*>& devices() {
  static auto* map = new std::map<int, Device*>();
  return *map;
}

}  // namespace

Device* cuda_device(int number, std::string* why_not) {
  const std::string which = number == 0 ? "" : " " + std::to_string(number);
  const auto no = [&](const std::string& reason) {
    *why_not = "no CUDA device" + which + ": " + reason;
    return nullptr;
  };
  std::string reason;
  const Driver& api = driver(&reason);
  if (!reason.empty()) return no(reason);
  if (number >= static_cast<int>(api.gpus.size()))
    return no("the NVIDIA driver reports " + std::to_string(api.gpus.size()) + " (is CUDA_VISIBLE_DEVICES set?)");
  const Gpu& gpu = api.gpus[static_cast<size_t>(number)];
  if (!gpu.why_not.empty()) return no(gpu.why_not);
  std::lock_guard lock(devices_mutex);
  Device*& device = devices()[number];
  // Lives as long as the process, like the CPU device: its thread may still run while the process ends.
  if (!device) {
    const std::string name = number == 0 ? "cuda" : "cuda:" + std::to_string(number);
    device = new CudaDevice(api, gpu, name, new CudaMemory(api));
  }
  return device;
}

void cuda::launch_packed(const char* kernel, Size3 grid, Size3 block, size_t shared_bytes, void** arguments) {
  static_cast<CudaDevice*>(Device::running())->launch(kernel, grid, block, shared_bytes, arguments);
}

}  // namespace noisewright

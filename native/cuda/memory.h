// Where the pool of a GPU gets its memory.
#pragma once
#include <mutex>
#include <vector>

#include "cuda/failure.h"

namespace noisewright::cuda {

// The driver has a stream-ordered pool of its own (cuMemAllocAsync), which keeps freed memory for later kernels of the
// same stream and, over events, of others. Here every kernel of a GPU is in one stream and memory comes back to our
// pool while kernels that use it are yet to run, which is the same reuse without a call of the driver; ours also
// counts, limits and is the same on the CPU. So the driver is only asked for blocks that ours does not have.
class CudaMemory final : public MemorySource {
 public:
  explicit CudaMemory(const Driver& driver) : driver_(driver) {}
  // Called once, by the device thread, before any allocation. `failure`: why there is no context, or nothing.
  void set_context(Context context, Stream stream, const std::string& failure, const std::string& driver_code);

  // Throws Error(kDevice) where the GPU did not start.
  void expect_context();

  void* take(size_t bytes) override;
  // Waits for the kernels that may still use the memory. Errors are left for the next call that can report them.
  void give(void* data, size_t bytes) override;
  std::string room() override;
  // While the stream's work is captured, nobody may wait for it: what is given back meanwhile is freed afterwards.
  void set_capturing(bool on);

 private:
  // Memory may be given back by any thread, and the current context is a property of the thread.
  void enter() { driver_.cuCtxSetCurrent(context_); }
  void free(void* data);

  const Driver& driver_;
  Context context_ = nullptr;
  Stream stream_ = nullptr;
  std::string failure_, failure_code_;
  std::mutex mutex_;
  bool capturing_ = false;
  std::vector<void*> postponed_;
};

}  // namespace noisewright::cuda

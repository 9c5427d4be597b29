#include "cuda/memory.h"

namespace noisewright::cuda {

void CudaMemory::set_context(Context context, Stream stream, const std::string& failure,
                             const std::string& driver_code) {
  context_ = context;
  stream_ = stream;
  failure_ = failure;
  failure_code_ = driver_code;
}

void CudaMemory::expect_context() {
  if (!failure_.empty()) fail_here(ErrorKind::kDevice, failure_, failure_code_);
}

void* CudaMemory::take(size_t bytes) {
  expect_context();
  enter();
  DevicePointer data = 0;
  const Result r = driver_.cuMemAlloc_v2(&data, bytes);
  if (r == kErrorOutOfMemory) return nullptr;
  check(driver_, "allocating " + std::to_string(bytes) + " bytes", r);
  return reinterpret_cast<void*>(data);
}

void CudaMemory::give(void* data, size_t) {
  std::lock_guard lock(mutex_);
  if (capturing_)
    postponed_.push_back(data);
  else
    free(data);
}

void CudaMemory::set_capturing(bool on) {
  std::lock_guard lock(mutex_);
  capturing_ = on;
  if (on) return;
  for (void* data : postponed_) free(data);
  postponed_.clear();
}

void CudaMemory::free(void* data) {
  enter();
  driver_.cuStreamSynchronize(stream_);
  driver_.cuMemFree_v2(reinterpret_cast<DevicePointer>(data));
}

std::string CudaMemory::room() {
  enter();
  size_t free = 0, total = 0;
  if (driver_.cuMemGetInfo_v2(&free, &total)) return "";
  return "; the GPU has " + std::to_string(free) + " of its " + std::to_string(total) + " bytes free";
}

}  // namespace noisewright::cuda

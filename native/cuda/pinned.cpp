#include "cuda/pinned.h"

namespace noisewright::cuda {

namespace {

// Not here and now: whoever lets go last may be JavaScript's thread, and kernels may still use it.
void give_later(const Driver& driver, Device& device, Stream stream, void* host, size_t bytes) {
  Job job;
  job.op = "freePinned";
  job.run = [&driver, &device, stream, host, bytes] {
    driver.cuStreamSynchronize(stream);  // what went wrong there is for the next call that can report it
    driver.cuMemFreeHost(host);
    device.count_paged(-static_cast<int64_t>(bytes));
  };
  device.post(std::move(job));
}

}  // namespace

std::shared_ptr<void> take_pinned(const Driver& driver, Device& device, Stream stream, size_t bytes) {
  void* host = nullptr;
  const Result r = driver.cuMemHostAlloc(&host, bytes, kHostPortable | kHostDeviceMap);
  if (r == kErrorOutOfMemory)
    fail_here(ErrorKind::kOutOfMemory,
              "the CUDA driver has no " + std::to_string(bytes) + " bytes of pinned host memory to give (" +
                  std::to_string(device.paged_bytes()) +
                  " are in use): keep more of the states on the GPU (residentBytes, resident_bytes), or take an "
                  "optimizer that is not paged",
              code_of(driver, r));
  check(driver, "allocating " + std::to_string(bytes) + " bytes of pinned host memory", r);
  DevicePointer data = 0;
  if (const Result mapped = driver.cuMemHostGetDevicePointer_v2(&data, host, 0)) {
    driver.cuMemFreeHost(host);
    fail_driver(driver, "mapping pinned host memory", mapped);
  }
  device.count_paged(static_cast<int64_t>(bytes));
  return {reinterpret_cast<void*>(data),
          [&driver, &device, stream, host, bytes](void*) { give_later(driver, device, stream, host, bytes); }};
}

}  // namespace noisewright::cuda

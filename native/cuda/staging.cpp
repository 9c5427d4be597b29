#include "cuda/staging.h"

#include <algorithm>
#include <cstring>

namespace noisewright::cuda {

namespace {

// Events report what went wrong in the work before them.
constexpr const char* kWaiting = ", or a kernel before it (NOISEWRIGHT_CUDA_WAIT=1 tells which)";

DevicePointer as_number(const void* data) { return reinterpret_cast<DevicePointer>(data); }

}  // namespace

bool Staging::ready() {
  if (state_ == kUntried) {
    state_ = make() ? kMade : kImpossible;
    if (state_ == kImpossible) unmake();
  }
  return state_ == kMade;
}

bool Staging::make() {
  for (Block& b : blocks_) {
    void* pinned = nullptr;
    if (driver_.cuMemHostAlloc(&pinned, kBlockBytes, 0)) return false;
    b.pinned = static_cast<char*>(pinned);
    if (driver_.cuMemAlloc_v2(&b.twin, kBlockBytes) || driver_.cuEventCreate(&b.copied, kEventDisableTiming) ||
        driver_.cuEventCreate(&b.taken, kEventDisableTiming))
      return false;
  }
  return true;
}

void Staging::unmake() {
  for (Block& b : blocks_) {
    if (b.pinned) driver_.cuMemFreeHost(b.pinned);
    if (b.twin) driver_.cuMemFree_v2(b.twin);
  }
}

void Staging::upload(void* to, const void* from, size_t bytes) {
  for (size_t done = 0; done < bytes; done += kBlockBytes)
    send(next(), static_cast<char*>(to) + done, static_cast<const char*>(from) + done,
         std::min(kBlockBytes, bytes - done));
}

void Staging::send(Block& b, void* to, const char* from, size_t bytes) {
  check(driver_, std::string("upload") + kWaiting, driver_.cuEventSynchronize(b.copied));
  std::memcpy(b.pinned, from, bytes);
  check(driver_, "upload", driver_.cuStreamWaitEvent(copy_, b.taken, 0));
  check(driver_, "upload", driver_.cuMemcpyHtoDAsync_v2(b.twin, b.pinned, bytes, copy_));
  check(driver_, "upload", driver_.cuEventRecord(b.copied, copy_));
  check(driver_, "upload", driver_.cuStreamWaitEvent(compute_, b.copied, 0));
  check(driver_, "upload", driver_.cuMemcpyDtoDAsync_v2(as_number(to), b.twin, bytes, compute_));
  check(driver_, "upload", driver_.cuEventRecord(b.taken, compute_));
}

void Staging::download(void* to, const void* from, size_t bytes) {
  const size_t pieces = (bytes + kBlockBytes - 1) / kBlockBytes, first = used_;
  const auto length = [&](size_t piece) { return std::min(kBlockBytes, bytes - piece * kBlockBytes); };
  for (size_t piece = 0, asked = 0; piece < pieces; piece++) {
    for (; asked < pieces && asked < piece + kBlocks; asked++)
      fetch(next(), static_cast<const char*>(from) + asked * kBlockBytes, length(asked));
    const Block& b = blocks_[(first + piece) % kBlocks];
    check(driver_, std::string("download") + kWaiting, driver_.cuEventSynchronize(b.copied));
    std::memcpy(static_cast<char*>(to) + piece * kBlockBytes, b.pinned, length(piece));
  }
}

void Staging::fetch(Block& b, const char* from, size_t bytes) {
  // Over already, unless a download before this one failed halfway.
  check(driver_, "download", driver_.cuStreamWaitEvent(compute_, b.copied, 0));
  check(driver_, "download", driver_.cuMemcpyDtoDAsync_v2(b.twin, as_number(from), bytes, compute_));
  check(driver_, "download", driver_.cuEventRecord(b.taken, compute_));
  check(driver_, "download", driver_.cuStreamWaitEvent(copy_, b.taken, 0));
  check(driver_, "download", driver_.cuMemcpyDtoHAsync_v2(b.pinned, b.twin, bytes, copy_));
  check(driver_, "download", driver_.cuEventRecord(b.copied, copy_));
}

}  // namespace noisewright::cuda

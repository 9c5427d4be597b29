#include "cuda/staging.h"

#include <algorithm>
#include <cstring>

namespace noisewright::cuda {

bool StagingRing::ready() {
  if (state_ == kUntried) {
    state_ = make() ? kMade : kImpossible;
    if (state_ == kImpossible) unmake();
  }
  return state_ == kMade;
}

bool StagingRing::make() {
  for (StagingBlock& b : blocks_) {
    void* pinned = nullptr;
    if (driver_.cuMemHostAlloc(&pinned, kBlockBytes, 0)) return false;
    b.pinned = static_cast<char*>(pinned);
    if (driver_.cuMemAlloc_v2(&b.twin, kBlockBytes) || driver_.cuEventCreate(&b.copied, kEventDisableTiming) ||
        driver_.cuEventCreate(&b.taken, kEventDisableTiming))
      return false;
  }
  return true;
}

void StagingRing::unmake() {
  for (StagingBlock& b : blocks_) {
    if (b.pinned) driver_.cuMemFreeHost(b.pinned);
    if (b.twin) driver_.cuMemFree_v2(b.twin);
  }
}

void Uploads::upload(void* to, const void* from, size_t bytes) {
  for (size_t done = 0; done < bytes; done += StagingRing::kBlockBytes)
    send(ring_.block(used_++), static_cast<char*>(to) + done, static_cast<const char*>(from) + done,
         std::min(StagingRing::kBlockBytes, bytes - done));
}

void Uploads::send(StagingBlock& b, void* to, const char* from, size_t bytes) {
  check(driver_, std::string("upload") + kOrAKernelBefore, driver_.cuEventSynchronize(b.copied));
  std::memcpy(b.pinned, from, bytes);
  check(driver_, "upload", driver_.cuStreamWaitEvent(copy_, b.taken, 0));
  check(driver_, "upload", driver_.cuMemcpyHtoDAsync_v2(b.twin, b.pinned, bytes, copy_));
  check(driver_, "upload", driver_.cuEventRecord(b.copied, copy_));
  check(driver_, "upload", driver_.cuStreamWaitEvent(compute_, b.copied, 0));
  check(driver_, "upload", driver_.cuMemcpyDtoDAsync_v2(as_number(to), b.twin, bytes, compute_));
  check(driver_, "upload", driver_.cuEventRecord(b.taken, compute_));
}

}  // namespace noisewright::cuda

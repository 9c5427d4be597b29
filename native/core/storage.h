// The memory behind tensors: taken from the pool when the operation that fills it runs, given back with the last
// reference.
#pragma once
#include <atomic>
#include <memory>

#include "core/device.h"

namespace noisewright {

class Storage {
 public:
  Storage(Device* device, size_t bytes) : device_(device), bytes_(bytes) { device_->pool().count_buffer(1); }
  ~Storage() {
    if (!own_) device_->pool().give(data_);
    device_->pool().count_buffer(-1);
  }
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  // Device thread only. Allocates on first use.
  void* data() {
    if (!data_ && bytes_ > 0) data_ = device_->pool().take(bytes_, device_->running_op());
    return data_;
  }
  // Device thread only, before anything else asks for data: memory from elsewhere than the pool.
  void adopt(std::shared_ptr<void> memory) {
    own_ = std::move(memory);
    data_ = own_.get();
  }
  size_t bytes() const { return bytes_; }
  // True once: for the one handle that tells the garbage collector about these bytes.
  bool claim_accounting() { return !accounted_.exchange(true); }
  Device* device() const { return device_; }

  std::shared_ptr<const Failure> failure;  // device thread only: why this memory holds nothing of use
  uint64_t version = 0;                    // device thread only: raised by every operation that changes it in place
  std::shared_ptr<void> derived;           // device thread only: data kept for this content, e.g. transformed weights
  uint64_t derived_version = 0;

 private:
  Device* device_;
  size_t bytes_;
  void* data_ = nullptr;
  std::shared_ptr<void> own_;  // what was adopted; null when data_ is the pool's
  std::atomic<bool> accounted_{false};
};

}  // namespace noisewright

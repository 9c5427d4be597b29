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
    if (!lender_ && !own_) device_->pool().give(data_);
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
  // Device thread only, for storages of a recording (recording.h), which are filled again and again. `release` gives
  // the memory back; the next call of data() takes other memory. `lend` puts another storage's memory here, until
  // release. `hand_over` gives memory and failure to a storage of the same size, and is a release for this one.
  void release() {
    if (!lender_ && !own_) device_->pool().give(data_);
    lender_.reset();
    own_.reset();
    data_ = nullptr;
    derived.reset();
    failure.reset();
  }
  void lend(std::shared_ptr<Storage> lender, void* data) {
    release();
    lender_ = std::move(lender);
    data_ = data;
  }
  void hand_over(Storage& heir) {
    heir.release();
    heir.data_ = data_;
    heir.own_ = std::move(own_);
    heir.failure = failure;
    data_ = nullptr;
    release();
  }
  size_t bytes() const { return bytes_; }
  // True once: for the one handle that tells the garbage collector about these bytes.
  bool claim_accounting() { return !accounted_.exchange(true); }
  Device* device() const { return device_; }

  std::atomic<int> handles{0};  // of JavaScript
  bool recorded = false;        // JavaScript's thread only: an op that is kept in a recording made it

  std::shared_ptr<const Failure> failure;  // device thread only: why this memory holds nothing of use
  uint64_t version = 0;                    // device thread only: raised by every operation that changes it in place
  std::shared_ptr<void> derived;           // device thread only: data kept for this content, e.g. transformed weights
  uint64_t derived_version = 0;

 private:
  Device* device_;
  size_t bytes_;
  void* data_ = nullptr;
  std::shared_ptr<void> own_;  // what was adopted; null when data_ is the pool's
  std::shared_ptr<Storage> lender_;
  std::atomic<bool> accounted_{false};
};

}  // namespace noisewright

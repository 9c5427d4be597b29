#include "cuda/downloads.h"

#include <algorithm>
#include <cstring>

namespace noisewright::cuda {

Downloads::Downloads(const Driver& driver, Context context, Stream compute, Stream copy)
    : driver_(driver), context_(context), compute_(compute), copy_(copy), ring_(driver) {
  std::thread([this] { serve(); }).detach();
}

void Downloads::download(void* to, const void* from, size_t bytes) {
  try {
    for (size_t done = 0; done < bytes; done += StagingRing::kBlockBytes) {
      const size_t length = std::min(StagingRing::kBlockBytes, bytes - done);
      StagingBlock& block = next();
      fetch(block, static_cast<const char*>(from) + done, length);
      Delivery piece;
      piece.block = &block;
      piece.to = static_cast<char*>(to) + done;
      piece.bytes = length;
      push(std::move(piece));
    }
  } catch (...) {
    drain();  // the caller may let `to` go
    throw;
  }
}

// A block that no piece under way is in.
StagingBlock& Downloads::next() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return asked_ - received_ < StagingRing::kBlocks; });
  return ring_.block(asked_);
}

void Downloads::fetch(StagingBlock& b, const char* from, size_t bytes) {
  // Over already, unless a download before this one failed halfway.
  check(driver_, "download", driver_.cuStreamWaitEvent(compute_, b.copied, 0));
  check(driver_, "download", driver_.cuMemcpyDtoDAsync_v2(b.twin, as_number(from), bytes, compute_));
  check(driver_, "download", driver_.cuEventRecord(b.taken, compute_));
  check(driver_, "download", driver_.cuStreamWaitEvent(copy_, b.taken, 0));
  check(driver_, "download", driver_.cuMemcpyDtoHAsync_v2(b.pinned, b.twin, bytes, copy_));
  check(driver_, "download", driver_.cuEventRecord(b.copied, copy_));
}

void Downloads::settle(const char* op, uint64_t sequence, Settled settled, std::shared_ptr<const Failure> failure) {
  Delivery end;
  end.op = op;
  end.sequence = sequence;
  end.settled = std::move(settled);
  end.failure = std::move(failure);
  push(std::move(end));
}

void Downloads::push(Delivery delivery) {
  std::lock_guard lock(mutex_);
  asked_ += delivery.block != nullptr;
  deliveries_.push_back(std::move(delivery));
  changed_.notify_all();
}

void Downloads::drain() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return asked_ == received_; });
}

void Downloads::serve() {
  driver_.cuCtxSetCurrent(context_);
  for (;;) {
    Delivery delivery;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return !deliveries_.empty(); });
      delivery = std::move(deliveries_.front());
      deliveries_.pop_front();
    }
    if (delivery.block)
      receive(delivery);
    else
      finish(delivery);
  }
}

void Downloads::receive(const Delivery& piece) {
  const Result r = driver_.cuEventSynchronize(piece.block->copied);
  if (!r)
    std::memcpy(piece.to, piece.block->pinned, piece.bytes);
  else if (!result_)
    words_ = refusal(driver_, std::string("download") + kOrAKernelBefore, result_ = r);
  std::lock_guard lock(mutex_);
  received_++;
  changed_.notify_all();
}

void Downloads::finish(Delivery& end) {
  if (result_ && !end.failure)
    end.failure = std::make_shared<Failure>(
        Failure{kind_of(result_), end.op, end.op + (": " + words_), end.sequence, code_of(driver_, result_)});
  result_ = 0;
  end.settled(std::move(end.failure));
}

}  // namespace noisewright::cuda

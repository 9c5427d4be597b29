// Copies from a GPU to pageable host memory. The device's thread only asks for them and goes on with the next job; a
// thread of their own waits for each piece, brings it where it belongs, and tells whoever is waiting, in the order of
// the jobs. (cuLaunchHostFunc would do without that thread, but what it calls is not told when a kernel before it
// failed: then it is not called at all, and nobody would hear of the failure.)
#pragma once
#include <condition_variable>
#include <deque>
#include <mutex>

#include "cuda/staging.h"

namespace noisewright::cuda {

class Downloads {
 public:
  using Settled = std::function<void(std::shared_ptr<const Failure>)>;

  // Device thread. `copy`: the stream of the way to the host. Starts the thread, which lives as long as the process.
  Downloads(const Driver& driver, Context context, Stream compute, Stream copy);
  bool ready() { return ring_.ready(); }

  // Device thread. What `from` holds at this point of the compute stream; it may change as soon as this has returned.
  // `to` is filled before what the same job hands to `settle` is called. Waits for earlier pieces when the ring is
  // full.
  void download(void* to, const void* from, size_t bytes);
  // Device thread. Calls `settled` after all that was asked for before, with `failure`, or with what went wrong in the
  // downloads since the last call.
  void settle(const char* op, uint64_t sequence, Settled settled, std::shared_ptr<const Failure> failure);

 private:
  // A piece that is under way, or, without a block, the end of a job.
  struct Delivery {
    const StagingBlock* block = nullptr;
    void* to = nullptr;
    size_t bytes = 0;
    const char* op = "";
    uint64_t sequence = 0;
    Settled settled;
    std::shared_ptr<const Failure> failure;
  };

  StagingBlock& next();
  void fetch(StagingBlock& block, const char* from, size_t bytes);
  void push(Delivery delivery);
  void drain();
  void serve();
  void receive(const Delivery& piece);
  void finish(Delivery& end);

  const Driver& driver_;
  Context context_;
  Stream compute_, copy_;
  StagingRing ring_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Delivery> deliveries_;
  size_t asked_ = 0, received_ = 0;  // pieces
  Result result_ = 0;                // of the pieces of the job at hand; the thread of the downloads only, as its words
  std::string words_;
};

}  // namespace noisewright::cuda

// Copies between pageable host memory and a GPU by way of a ring of pinned blocks, each with a block of the GPU as its
// twin. Host and twin are copied in a stream of their own; twin and tensor in the stream of the kernels, where the
// order of memory and kernels is decided. So an upload does not wait for kernels enqueued before it, until the ring is
// full of uploads that do; and what a large one copies with the CPU overlaps what the GPU fetches.
#pragma once
#include <array>

#include "cuda/failure.h"

namespace noisewright::cuda {

class Staging {
 public:
  Staging(const Driver& driver, Stream compute, Stream copy) : driver_(driver), compute_(compute), copy_(copy) {}

  // Makes the ring when first asked. False where the driver has no pinned memory, or no memory, to give.
  bool ready();
  // Returns when `from` may change.
  void upload(void* to, const void* from, size_t bytes);
  // Returns when `to` is filled.
  void download(void* to, const void* from, size_t bytes);

 private:
  static constexpr size_t kBlocks = 8, kBlockBytes = size_t{1} << 20;

  // Three rules keep the order: the copy stream waits for `taken` before it touches the twin, the compute stream waits
  // for `copied` before it does, and the host waits for `copied` before it touches the pinned block. An event that was
  // never recorded is over.
  struct Block {
    char* pinned = nullptr;
    DevicePointer twin = 0;
    Event copied = nullptr;  // the copy stream is done with both halves
    Event taken = nullptr;   // the compute stream is done with the twin
  };

  bool make();
  void unmake();
  Block& next() { return blocks_[used_++ % kBlocks]; }
  void send(Block& block, void* to, const char* from, size_t bytes);
  void fetch(Block& block, const char* from, size_t bytes);

  const Driver& driver_;
  Stream compute_, copy_;
  std::array<Block, kBlocks> blocks_;
  size_t used_ = 0;
  enum { kUntried, kMade, kImpossible } state_ = kUntried;
};

}  // namespace noisewright::cuda

// Copies between pageable host memory and a GPU by way of pinned blocks, each with a block of the GPU as its twin. Host
// and twin are copied in a stream of their own for each direction; twin and tensor in the stream of the kernels, where
// the order of memory and kernels is decided. So neither direction waits for the other, an upload does not wait for
// kernels enqueued before it until the ring is full of uploads that do, and what a large one copies with the CPU
// overlaps what the GPU fetches.
#pragma once
#include <array>

#include "cuda/failure.h"

namespace noisewright::cuda {

// Three rules keep the order of an upload: the copy stream waits for `taken` before it touches the twin, the compute
// stream waits for `copied` before it does, and the host waits for `copied` before it touches the pinned block. In a
// download the two streams change places. An event that was never recorded is over.
struct StagingBlock {
  char* pinned = nullptr;
  DevicePointer twin = 0;
  Event copied = nullptr;  // the copy stream is done with both halves
  Event taken = nullptr;   // the compute stream is done with the twin
};

// The blocks of one direction.
class StagingRing {
 public:
  static constexpr size_t kBlocks = 8, kBlockBytes = size_t{1} << 20;

  explicit StagingRing(const Driver& driver) : driver_(driver) {}
  // Makes them when first asked. False where the driver has no pinned memory, or no memory, to give.
  bool ready();
  StagingBlock& block(size_t number) { return blocks_[number % kBlocks]; }
  static size_t pieces(size_t bytes) { return (bytes + kBlockBytes - 1) / kBlockBytes; }

 private:
  bool make();
  void unmake();

  const Driver& driver_;
  std::array<StagingBlock, kBlocks> blocks_;
  enum { kUntried, kMade, kImpossible } state_ = kUntried;
};

class Uploads {
 public:
  Uploads(const Driver& driver, Stream compute, Stream copy)
      : driver_(driver), compute_(compute), copy_(copy), ring_(driver) {}
  bool ready() { return ring_.ready(); }
  // Returns when `from` may change.
  void upload(void* to, const void* from, size_t bytes);

 private:
  void send(StagingBlock& block, void* to, const char* from, size_t bytes);

  const Driver& driver_;
  Stream compute_, copy_;
  StagingRing ring_;
  size_t used_ = 0;
};

}  // namespace noisewright::cuda

// Recordings as CUDA graphs: the first replay runs a recording's jobs while the stream captures what they launch, and
// each replay, this one too, is one launch of the graph. A graph holds addresses, so what it works on stays in place:
// - memory that its jobs take comes from an arena, which no one else gets memory from while there are graphs. All
// graphs
//   of a GPU share it: they run one after another, and nothing in it is wanted between them,
// - since inputs are copied in before the launch, and outputs out behind it, to memory of the pool;
// - storages from outside belong to the recording.
// What cannot be captured is run job by job, from then on, and the recording's report says why.
#pragma once
#include <set>

#include "core/recording.h"
#include "cuda/memory.h"

namespace noisewright::cuda {

// All of it on the device thread.
class Graphs {
 public:
  // why_not: what keeps graphs from being made here, or nothing.
  Graphs(const Driver& driver, Device& device, CudaMemory& memory, Stream stream, const std::string& why_not);

  // Replays by a graph. False where it must be done job by job; nothing was enqueued then. Throws when the driver
  // refuses the launch.
  bool replay(Recording& recording, const Tensors& inputs, const std::vector<std::shared_ptr<Storage>>& outputs);
  bool capturing() const { return capturing_; }

 private:
  struct CapturedGraph;
  CapturedGraph* graph_of(Recording& recording);
  std::unique_ptr<CapturedGraph> capture(Recording& recording, std::string& why_not);
  Graph capture_jobs(Recording& recording, CapturedGraph& graph, std::string& why_not);
  void without(Recording& recording, const std::string& reason);
  bool drop_all();

  const Driver& driver_;
  Device& device_;
  CudaMemory& memory_;
  Stream stream_;
  std::string why_not_;
  Pool::Arena arena_;
  std::set<Recording*> captured_;
  bool capturing_ = false;
};

}  // namespace noisewright::cuda

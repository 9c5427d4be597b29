#include "cuda/graphs.h"

namespace noisewright::cuda {

struct Graphs::CapturedGraph final : Capture {
  CapturedGraph(Graphs& owner, Recording& recording) : owner(owner), recording(recording) {
    owner.captured_.insert(&recording);
  }
  // A graph that is still running is freed by the driver when it is over.
  ~CapturedGraph() override {
    if (exec) owner.driver_.cuGraphExecDestroy(exec);
    owner.captured_.erase(&recording);
    if (owner.captured_.empty()) owner.device_.pool().dissolve(owner.arena_);
  }
  CapturedGraph(const CapturedGraph&) = delete;
  CapturedGraph& operator=(const CapturedGraph&) = delete;

  Graphs& owner;
  Recording& recording;
  GraphExec exec = nullptr;
  std::vector<void*> inputs, outputs;  // where it finds the ones and leaves the others
};

Graphs::Graphs(const Driver& driver, Device& device, CudaMemory& memory, Stream stream, const std::string& why_not)
    : driver_(driver), device_(device), memory_(memory), stream_(stream), why_not_(why_not) {
  if (why_not_.empty()) why_not_ = driver.no_graphs;
  device.pool().set_reserve([this] { return drop_all(); });
}

bool Graphs::replay(Recording& recording, const Tensors& inputs, const std::vector<std::shared_ptr<Storage>>& outputs) {
  if (recording.outside_has_failed()) return false;  // each job finds out for itself what that spoils
  CapturedGraph* graph = graph_of(recording);
  if (!graph) return false;
  // Memory first: taking it may cost the graphs.
  for (const auto& output : outputs) output->data();
  graph = static_cast<CapturedGraph*>(recording.capture.get());
  if (!graph) return false;
  for (size_t i = 0; i < inputs.size(); i++) device_.copy(graph->inputs[i], inputs[i].data(), inputs[i].bytes());
  const Result result = driver_.cuGraphLaunch(graph->exec, stream_);
  if (result == kErrorOutOfMemory) {
    without(recording, "its launch found no memory");
    return false;
  }
  check(driver_, "launching a CUDA graph", result);
  for (size_t i = 0; i < outputs.size(); i++) device_.copy(outputs[i]->data(), graph->outputs[i], outputs[i]->bytes());
  recording.changed_outside();
  return true;
}

Graphs::CapturedGraph* Graphs::graph_of(Recording& recording) {
  if (recording.capture) return static_cast<CapturedGraph*>(recording.capture.get());
  if (!recording.report().no_capture.empty()) return nullptr;
  std::string why_not = why_not_;
  if (why_not.empty()) recording.capture = capture(recording, why_not);
  if (!why_not.empty()) recording.set_no_capture(why_not);
  return static_cast<CapturedGraph*>(recording.capture.get());
}

std::unique_ptr<Graphs::CapturedGraph> Graphs::capture(Recording& recording, std::string& why_not) {
  auto graph = std::make_unique<CapturedGraph>(*this, recording);
  capturing_ = true;
  memory_.set_capturing(true);
  device_.pool().use(&arena_);
  const Graph captured = capture_jobs(recording, *graph, why_not);
  recording.release();
  device_.pool().use(nullptr);
  memory_.set_capturing(false);
  capturing_ = false;
  if (captured) {
    if (why_not.empty())
      if (const Result r = driver_.cuGraphInstantiateWithFlags(&graph->exec, captured, 0))
        why_not = "made into a graph, the CUDA driver says " + describe(driver_, r);
    driver_.cuGraphDestroy(captured);
  }
  if (!why_not.empty()) return nullptr;
  return graph;
}

// The captured graph, or null; it is to be destroyed even where why_not says something.
Graph Graphs::capture_jobs(Recording& recording, CapturedGraph& graph, std::string& why_not) {
  // Relaxed: what allocates memory may, and other threads are not concerned.
  if (const Result r = driver_.cuStreamBeginCapture_v2(stream_, kCaptureRelaxed)) {
    why_not = "asked to capture, the CUDA driver says " + describe(driver_, r);
    return nullptr;
  }
  try {
    for (const Tensor& placeholder : recording.placeholders()) graph.inputs.push_back(placeholder.data());
    if (const auto failure = recording.run_all_or_none(device_)) why_not = failure->message;
    if (why_not.empty())
      for (Storage* output : recording.output_storages()) graph.outputs.push_back(output->data());
  } catch (const std::exception& error) {
    why_not = error.what();
  }
  Graph captured = nullptr;
  const Result r = driver_.cuStreamEndCapture(stream_, &captured);
  if (r && why_not.empty()) why_not = "at the end of the capture, the CUDA driver says " + describe(driver_, r);
  return captured;
}

void Graphs::without(Recording& recording, const std::string& reason) {
  recording.set_no_capture(reason);
  recording.capture.reset();
}

bool Graphs::drop_all() {
  if (capturing_ || captured_.empty()) return false;
  while (!captured_.empty()) without(**captured_.begin(), "memory ran short, and its graph was dropped");
  return true;
}

}  // namespace noisewright::cuda

#include "emulation/graphs.h"

#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace noisewright::emulation {

namespace {

using cuda::Result;
using Work = std::vector<std::function<Result()>>;

constexpr Result kInvalidValue = 1;
constexpr Result kInvalidHandle = 400;
constexpr int kModeGlobal = 0;

struct CaptureState {
  int mode;
  std::thread::id thread;
  Work work;
  bool invalid = false, unjoined = false;
};
struct Executable {
  Work work;
  int device;
};

// Handles are numbers that are never given twice.
struct State {
  std::mutex mutex;
  uintptr_t handles = 0;
  std::map<cuda::Stream, CaptureState> captures;
  std::map<cuda::Event, cuda::Stream> events;  // those last recorded in a stream that captures
  std::map<cuda::Graph, Work> graphs;
  std::map<cuda::GraphExec, std::shared_ptr<const Executable>> executables;

  template <class Handle>
  Handle next() {
    return reinterpret_cast<Handle>(++handles);
  }
};
State& state() {
  static auto* s = new State();
  return *s;
}

Result invalidate(CaptureState& capture, Result why) {
  capture.invalid = true;
  return why;
}

}  // namespace

Result begin_capture(cuda::Stream stream, int mode) {
  State& s = state();
  std::lock_guard lock(s.mutex);
  if (s.captures.count(stream)) return kIllegalState;
  s.captures[stream] = {mode, std::this_thread::get_id(), {}};
  return 0;
}

Result end_capture(cuda::Stream stream, cuda::Graph* graph) {
  State& s = state();
  std::lock_guard lock(s.mutex);
  *graph = nullptr;
  const auto found = s.captures.find(stream);
  if (found == s.captures.end()) return kIllegalState;
  CaptureState& capture = found->second;
  if (capture.mode != cuda::kCaptureRelaxed && capture.thread != std::this_thread::get_id()) return kCaptureWrongThread;
  const Result result = capture.invalid ? kCaptureInvalidated : capture.unjoined ? kCaptureUnjoined : 0;
  if (!result) s.graphs[*graph = s.next<cuda::Graph>()] = std::move(capture.work);
  s.captures.erase(found);
  std::erase_if(s.events, [&](const auto& event) { return event.second == stream; });
  return result;
}

std::optional<Result> capture(cuda::Stream stream, std::function<Result()> work) {
  State& s = state();
  std::lock_guard lock(s.mutex);
  const auto found = s.captures.find(stream);
  if (found == s.captures.end()) return std::nullopt;
  if (found->second.invalid) return kCaptureInvalidated;
  found->second.work.push_back(std::move(work));
  return 0;
}

std::optional<Result> forbid(cuda::Stream stream) {
  State& s = state();
  std::lock_guard lock(s.mutex);
  const auto found = s.captures.find(stream);
  if (found == s.captures.end()) return std::nullopt;
  return invalidate(found->second, kCaptureUnsupported);
}

std::optional<Result> forbid(cuda::Event event) {
  State& s = state();
  std::lock_guard lock(s.mutex);
  const auto found = s.events.find(event);
  if (found == s.events.end()) return std::nullopt;
  return invalidate(s.captures.at(found->second), kCapturedEvent);
}

std::optional<Result> forbid_unsafe() {
  State& s = state();
  std::lock_guard lock(s.mutex);
  for (auto& [stream, capture] : s.captures)
    if (capture.mode == kModeGlobal ||
        (capture.mode != cuda::kCaptureRelaxed && capture.thread == std::this_thread::get_id()))
      return invalidate(capture, kCaptureUnsupported);
  return std::nullopt;
}

std::optional<Result> capture_record(cuda::Event event, cuda::Stream stream) {
  State& s = state();
  std::lock_guard lock(s.mutex);
  s.events.erase(event);
  if (!s.captures.count(stream)) return std::nullopt;
  s.events[event] = stream;
  return 0;
}

std::optional<Result> capture_wait(cuda::Stream stream, cuda::Event event) {
  State& s = state();
  std::lock_guard lock(s.mutex);
  const auto own = s.captures.find(stream);
  const auto recorded = s.events.find(event);
  if (own != s.captures.end()) {
    const bool inside = recorded != s.events.end() && recorded->second == stream;
    return inside ? 0 : invalidate(own->second, kCaptureIsolation);
  }
  if (recorded == s.events.end()) return std::nullopt;
  // The other stream joins the capture. Nothing here would join it to the first again.
  s.captures.at(recorded->second).unjoined = true;
  return 0;
}

Result instantiate(cuda::GraphExec* exec, cuda::Graph graph, int device) {
  State& s = state();
  std::lock_guard lock(s.mutex);
  const auto found = s.graphs.find(graph);
  if (found == s.graphs.end()) return kInvalidValue;
  *exec = s.next<cuda::GraphExec>();
  s.executables[*exec] = std::make_shared<Executable>(Executable{found->second, device});
  return 0;
}

Result launch_graph(cuda::GraphExec exec, int device) {
  State& s = state();
  std::shared_ptr<const Executable> executable;
  {
    std::lock_guard lock(s.mutex);
    const auto found = s.executables.find(exec);
    if (found == s.executables.end() || found->second->device != device) return kInvalidHandle;
    executable = found->second;
  }
  for (const auto& work : executable->work)
    if (const Result result = work()) return result;
  return 0;
}

Result destroy(cuda::GraphExec exec) {
  State& s = state();
  std::lock_guard lock(s.mutex);
  return s.executables.erase(exec) ? 0 : kInvalidValue;
}

Result destroy(cuda::Graph graph) {
  State& s = state();
  std::lock_guard lock(s.mutex);
  return s.graphs.erase(graph) ? 0 : kInvalidValue;
}

}  // namespace noisewright::emulation

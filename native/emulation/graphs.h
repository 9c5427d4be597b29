// Stream capture and graphs of the look-alike driver, as "Stream capture" and "Graph management" in NVIDIA's driver
// manual have them: a stream that captures runs nothing and keeps what it is asked for, a kernel with a copy of its
// arguments' bytes. What waits for such a stream, or ties it to work outside, is refused and invalidates the capture.
// A launch does what was kept, in order, at the addresses that were kept, whatever is there by then.
#pragma once
#include <functional>
#include <optional>

#include "cuda/driver.h"

namespace noisewright::emulation {

constexpr cuda::Result kIllegalState = 401;
constexpr cuda::Result kCaptureUnsupported = 900;
constexpr cuda::Result kCaptureInvalidated = 901;
constexpr cuda::Result kCaptureUnjoined = 904;
constexpr cuda::Result kCaptureIsolation = 905;
constexpr cuda::Result kCapturedEvent = 907;
constexpr cuda::Result kCaptureWrongThread = 908;

cuda::Result begin_capture(cuda::Stream stream, int mode);
cuda::Result end_capture(cuda::Stream stream, cuda::Graph* graph);

// Keeps work if the stream captures; nothing if it does not.
std::optional<cuda::Result> capture(cuda::Stream stream, std::function<cuda::Result()> work);
// The answer to what is no work for a stream that captures, which invalidates the capture; nothing if it captures not.
std::optional<cuda::Result> forbid(cuda::Stream stream);
std::optional<cuda::Result> forbid(cuda::Event event);
// The answer to a call that could wait for other work, such as an allocation, where this thread captures in a mode that
// is not relaxed, or another captures in the global one.
std::optional<cuda::Result> forbid_unsafe();

// Events in streams that capture; nothing where neither side captures.
std::optional<cuda::Result> capture_record(cuda::Event event, cuda::Stream stream);
std::optional<cuda::Result> capture_wait(cuda::Stream stream, cuda::Event event);

cuda::Result instantiate(cuda::GraphExec* exec, cuda::Graph graph, int device);
cuda::Result launch_graph(cuda::GraphExec exec, int device);
cuda::Result destroy(cuda::GraphExec exec);
cuda::Result destroy(cuda::Graph graph);

}  // namespace noisewright::emulation

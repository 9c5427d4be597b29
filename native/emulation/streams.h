// Streams and events of the look-alike driver.
//
// A copy that a stream was asked for is not made at once: it waits until the stream is synchronised, a kernel of the
// stream runs, or something waits for an event recorded after it; and then it is made after all that its own stream was
// told to wait for, and after nothing else. So whoever forgets an event reads what was there before, every time. With
// NOISEWRIGHT_EMULATION_STREAMS=early, copies between host and GPU are made at once instead, after what their stream
// was told to wait for: then it is the other forgotten events that show, those that keep a copy from coming too soon.
// Kernels run when they are launched.
#pragma once
#include <cstdint>
#include <functional>

#include "cuda/driver.h"

namespace noisewright::emulation {

cuda::Stream new_stream(int device);
cuda::Event new_event();

// All of these may be called by several threads; each refuses (CUDA_ERROR_INVALID_HANDLE) what it did not make.
cuda::Result postpone(cuda::Stream stream, std::function<cuda::Result()> copy, bool with_host);
cuda::Result record(cuda::Event event, cuda::Stream stream);
cuda::Result let_wait(cuda::Stream stream, cuda::Event event);
// Makes what was postponed; returns the first error of it. Errors come once.
cuda::Result finish(cuda::Stream stream);
cuda::Result finish(cuda::Event event);
// -1 for what is no stream.
int device_of(cuda::Stream stream);

}  // namespace noisewright::emulation

// Names of ops on a profiler's time line (NVTX ranges), where a profiler asks for them.
#pragma once

namespace noisewright::cuda {

// Between the two, what this thread does belongs to `name`. Without a profiler they do nothing.
void begin_range(const char* name);
void end_range();

}  // namespace noisewright::cuda

// What kernels that treat every element by itself agree on with their host code.
#pragma once

namespace noisewright::cuda {

constexpr int kElementThreads = 256;
constexpr int kElementsPerThread = 8;  // neighbours
constexpr int kElementsPerBlock = kElementThreads * kElementsPerThread;

// Threads of a block that works on one row at a time, eight neighbours to each as far as they go: whole warps.
constexpr int threads_for_row(long long columns) {
  const long long warps = (columns + 32 * kElementsPerThread - 1) / (32 * kElementsPerThread);
  return warps < 1 ? 32 : warps * 32 < kElementThreads ? static_cast<int>(warps) * 32 : kElementThreads;
}

}  // namespace noisewright::cuda

// What kernels that treat every element by itself agree on with their host code.
#pragma once

namespace noisewright::cuda {

constexpr int kElementThreads = 256;
constexpr int kElementsPerThread = 8;  // neighbours
constexpr int kElementsPerBlock = kElementThreads * kElementsPerThread;

}  // namespace noisewright::cuda

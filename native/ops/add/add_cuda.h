// What the kernels of add_cuda.cu and their host code in add_cuda.cpp agree on.
#pragma once

namespace noisewright::cuda {

constexpr int kAddThreads = 256;
constexpr int kAddPerThread = 8;  // elements of a thread in the flat kernels

}  // namespace noisewright::cuda

// What the kernels of slice_cuda.cu and their host code in slice_cuda.cpp agree on.
#pragma once

namespace noisewright::cuda {

constexpr int kPadThreads = 256;

}  // namespace noisewright::cuda

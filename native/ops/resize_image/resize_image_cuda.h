// What the kernels of resize_image_cuda.cu and their host code in resize_image_cuda.cpp agree on.
#pragma once

namespace noisewright::cuda {

constexpr int kResizeThreads = 256;

}  // namespace noisewright::cuda

// What the kernel of shift_hue_cuda.cu and its host code in shift_hue_cuda.cpp agree on.
#pragma once

namespace noisewright::cuda {

constexpr int kHueThreads = 256;
constexpr int kHuePixels = 4;  // of a thread: three words

}  // namespace noisewright::cuda

#include "ops/shift_hue/shift_hue_cuda.h"

#include "cuda/kernel_name.h"
#include "cuda/launch.h"
#include "ops/shift_hue/shift_hue.h"

namespace noisewright::cuda {

// Bytes moved: 3 in and 3 out for a pixel, as many as it has to. The tables travel with the kernel's arguments.
void shift_hue(const ShiftHueParams& p) {
  const bool words = (reinterpret_cast<uintptr_t>(p.x) | reinterpret_cast<uintptr_t>(p.y)) % 4 == 0;
  launch_kernel("shift_hue_kernel", {blocks_for(p.pixels, kHueThreads * kHuePixels)}, {kHueThreads}, 0, p, words);
}

}  // namespace noisewright::cuda

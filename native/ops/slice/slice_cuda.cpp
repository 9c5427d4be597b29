#include "ops/slice/slice_cuda.h"

#include <numeric>

#include "cuda/kernel_name.h"
#include "cuda/launch.h"
#include "ops/slice/slice.h"

namespace noisewright::cuda {

// Bytes moved: dy once, dx once.
void slice_backward(const PadParams& p) {
  const auto address = [](const void* data) { return static_cast<int64_t>(reinterpret_cast<uintptr_t>(data) % 16); };
  int64_t unit = std::gcd(int64_t{16}, std::gcd(address(p.dy), address(p.dx)));
  for (int64_t bytes : {p.before, p.middle, p.after}) unit = std::gcd(unit, bytes);
  const PadParams units{p.dy, p.dx, p.outer, p.before / unit, p.middle / unit, p.after / unit};
  const int64_t count = units.outer * (units.before + units.middle + units.after);
  launch_kernel(("slice_pad_" + std::to_string(unit) + "_kernel").c_str(), {blocks_for(count, kPadThreads)},
                {kPadThreads}, 0, units);
}

}  // namespace noisewright::cuda

// Memory bound: dx is written once, in order.
#include "ops/slice/slice.h"

#include "core/parallel.h"
#include "core/simd.h"

namespace noisewright::NOISEWRIGHT_TARGET {

void slice_backward(const PadParams& p) {
  constexpr int64_t kTaskBytes = 65536;
  const auto* dy = static_cast<const char*>(p.dy);
  auto* dx = static_cast<char*>(p.dx);
  const int64_t row = p.before + p.middle + p.after, last = p.before + p.middle;
  const int64_t pieces = (row + kTaskBytes - 1) / kTaskBytes, per_task = pieces > 1 ? 1 : (kTaskBytes + row - 1) / row;
  const auto least = [](int64_t a, int64_t b) { return a < b ? a : b; };
  parallel_chunks(p.outer * pieces, per_task, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; task++) {
      const int64_t o = task / pieces, stop = least(row, (task % pieces + 1) * kTaskBytes);
      for (int64_t i = task % pieces * kTaskBytes; i < stop;) {  // at most three stretches: zeros, dy, zeros
        const bool inside = i >= p.before && i < last;
        const int64_t n = (inside ? least(stop, last) : i < p.before ? least(stop, p.before) : stop) - i;
        if (inside)
          std::memcpy(dx + o * row + i, dy + o * p.middle + i - p.before, static_cast<size_t>(n));
        else
          std::memset(dx + o * row + i, 0, static_cast<size_t>(n));
        i += n;
      }
    }
  });
}

}  // namespace noisewright::NOISEWRIGHT_TARGET

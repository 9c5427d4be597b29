#include "ops/contiguous/contiguous_cuda.h"

#include <numeric>

#include "cuda/kernel_name.h"
#include "cuda/launch.h"
#include "ops/contiguous/contiguous.h"

namespace noisewright::cuda {

namespace {

int64_t address_of(const void* data) { return static_cast<int64_t>(reinterpret_cast<uintptr_t>(data) % 16); }

// Bytes that every contiguous run of both sides can be cut into.
int64_t unit_of(const CopyParams& p) {
  if (p.x_strides[5] != 1) return p.item;
  int64_t unit = std::gcd(std::gcd(int64_t{16}, p.shape[5] * p.item), std::gcd(address_of(p.x), address_of(p.y)));
  for (int axis = 0; axis < 5; axis++)
    if (p.shape[axis] > 1) unit = std::gcd(unit, std::gcd(p.x_strides[axis] * p.item, p.y_strides[axis] * p.item));
  return unit;
}

}  // namespace

// Bytes moved: x once, y once. A repeated x stays in the caches.
void copy_strided(const CopyParams& p) {
  const int64_t unit = unit_of(p);
  CopyUnits units{};
  units.x = p.x;
  units.y = p.y;
  units.count = 1;
  for (int axis = 0; axis < 6; axis++) {
    const bool innermost = axis == 5;
    units.shape[axis] = innermost ? p.shape[axis] * p.item / unit : p.shape[axis];
    units.x_strides[axis] = innermost ? p.x_strides[axis] : p.x_strides[axis] * p.item / unit;
    units.y_strides[axis] = innermost ? 1 : p.y_strides[axis] * p.item / unit;
    units.count *= units.shape[axis];
  }
  if (units.count == 0) return;
  const std::string size = std::to_string(unit) + "_kernel";
  if (p.x_strides[5] > 1 && p.shape[5] > 1)
    for (int axis = 4; axis >= 0; axis--)
      if (p.x_strides[axis] == 1 && p.shape[axis] > 3) {
        units.axis = axis;
        units.row_tiles = blocks_for(p.shape[axis], kCopyTile);
        units.column_tiles = blocks_for(p.shape[5], kCopyTile);
        const int64_t outer = units.count / (p.shape[axis] * p.shape[5]);
        return launch_kernel(("copy_tiles_" + size).c_str(), {outer * units.row_tiles * units.column_tiles},
                             {kCopyThreads}, 0, units);
      }
  launch_kernel(("copy_units_" + size).c_str(), {blocks_for(units.count, kCopyThreads)}, {kCopyThreads}, 0, units);
}

void copy_bytes(const void* x, void* y, int64_t bytes) {
  const auto copy = [&](int64_t begin, int64_t count) {
    copy_strided({static_cast<const char*>(x) + begin,
                  static_cast<char*>(y) + begin,
                  {1, 1, 1, 1, 1, count},
                  {0, 0, 0, 0, 0, 1},
                  {0, 0, 0, 0, 0, 1},
                  1});
  };
  const int64_t whole = bytes / 16 * 16;  // so that a tail does not make all units small
  copy(0, whole);
  copy(whole, bytes - whole);
}

}  // namespace noisewright::cuda

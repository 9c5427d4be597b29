#include "ops/resize_image/resize_image_cuda.h"

#include <cstring>
#include <vector>

#include "core/device.h"
#include "core/parallel.h"
#include "cuda/kernel_name.h"
#include "cuda/launch.h"
#include "ops/resize_image/resize_image.h"

namespace noisewright::cuda {

namespace {

// Tables of several types, one after the other, as they go to the GPU.
class Tables {
 public:
  // Puts `count` elements in, and the offset that they have as an address into `table`, for `place` to complete.
  template <class T>
  void add(const T*& table, int64_t count) {
    const size_t at = (bytes_.size() + 15) / 16 * 16, bytes = static_cast<size_t>(count) * sizeof(T);
    bytes_.resize(at + bytes);
    if (bytes > 0) std::memcpy(bytes_.data() + at, table, bytes);
    table = reinterpret_cast<const T*>(at);
  }
  const std::vector<unsigned char>& bytes() const { return bytes_; }

 private:
  std::vector<unsigned char> bytes_;
};

void add_axis(Tables& tables, ResizeAxis& axis, ResizeMode mode, int64_t size) {
  const int64_t taps = taps_of(mode);
  const bool spans = mode == ResizeMode::kArea || mode == ResizeMode::kWide;
  const int64_t weights = spans ? axis.start[size] : 0;
  tables.add(axis.index, spans ? size : size * taps);
  tables.add(axis.start, spans ? size + 1 : 0);
  tables.add(axis.weights, mode == ResizeMode::kArea ? weights : 0);
  tables.add(axis.fixed_weights, size * taps);
  tables.add(axis.wide_weights, mode == ResizeMode::kWide ? weights : 0);
}

template <class T>
void place(const T*& table, const unsigned char* start) {
  table = reinterpret_cast<const T*>(start + reinterpret_cast<uintptr_t>(table));
}

void place_axis(ResizeAxis& axis, const unsigned char* start) {
  place(axis.index, start);
  place(axis.start, start);
  place(axis.weights, start);
  place(axis.fixed_weights, start);
  place(axis.wide_weights, start);
}

}  // namespace

// Bytes moved: x once, as far as the caches hold what neighbours share, y once; lanczos3 and box also write and
// read their rows.
void resize_image(const ResizeImageParams& p) {
  ResizeImageParams on_device = p;
  Tables tables;
  add_axis(tables, on_device.rows, p.mode, p.height);
  add_axis(tables, on_device.columns, p.mode, p.width);
  const std::vector<unsigned char>& bytes = tables.bytes();
  const Scratch<unsigned char> device(bytes.empty() ? 1 : static_cast<int64_t>(bytes.size()));
  Device::running()->upload(device.data, bytes.data(), bytes.size());
  place_axis(on_device.rows, device.data);
  place_axis(on_device.columns, device.data);
  const auto launch = [&](const char* kernel, int64_t rows) {
    launch_kernel(kernel, {blocks_for(rows * p.width * p.channels, kResizeThreads)}, {kResizeThreads}, 0, on_device);
  };
  switch (p.mode) {
    case ResizeMode::kBlocks:
      return launch("resize_blocks_kernel", p.height);
    case ResizeMode::kArea:
      return launch("resize_area_kernel", p.height);
    case ResizeMode::kLinear:
      return launch("resize_linear_kernel", p.height);
    case ResizeMode::kLanczos:
      return launch("resize_lanczos_kernel", p.height);
    case ResizeMode::kNearest:
      return launch("resize_nearest_kernel", p.height);
    case ResizeMode::kCubic:
      return launch("resize_cubic_kernel", p.height);
    case ResizeMode::kWide:
      launch("resize_wide_columns_kernel", p.rows.high - p.rows.low);
      return launch("resize_wide_rows_kernel", p.height);
  }
}

}  // namespace noisewright::cuda

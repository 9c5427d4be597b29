#include "ops/resize_image/resize_image.h"

#include <cmath>

#include "core/launch.h"
#include "ops/ops.h"

namespace noisewright {

namespace {

// The tables of one axis; `axis` points into them.
struct AxisTables {
  std::vector<int32_t> index, start;
  std::vector<float> weights;
  std::vector<int16_t> fixed_weights;

  ResizeAxis axis(int64_t block) const {
    return {index.data(), start.data(), weights.data(), fixed_weights.data(), block};
  }
};

// Source pixels per target pixel, with OpenCV's rounding: where a border between target pixels meets one between source
// pixels, the last bit decides to which of them it belongs.
double scale(int64_t from, int64_t to) { return 1.0 / (static_cast<double>(to) / static_cast<double>(from)); }

int32_t clamp(int64_t i, int64_t size) { return static_cast<int32_t>(i < 0 ? 0 : i >= size ? size - 1 : i); }

int16_t to_fixed(double weight) { return static_cast<int16_t>(std::nearbyint(static_cast<float>(weight) * 2048.0f)); }

// Shrinking: position d covers [d k, d k + k) of the source; pixels weigh by the share they have of it.
AxisTables area_tables(int64_t from, int64_t to) {
  AxisTables t;
  const double k = scale(from, to);
  for (int64_t d = 0; d < to; d++) {
    const double begin = static_cast<double>(d) * k, end = begin + k,
                 cell = std::min(k, static_cast<double>(from) - begin);
    int64_t first_whole = static_cast<int64_t>(std::ceil(begin)), last_whole = static_cast<int64_t>(std::floor(end));
    last_whole = std::min(last_whole, from - 1);
    first_whole = std::min(first_whole, last_whole);
    t.start.push_back(static_cast<int32_t>(t.weights.size()));
    const double before = static_cast<double>(first_whole) - begin, after = end - static_cast<double>(last_whole);
    t.index.push_back(static_cast<int32_t>(before > 1e-3 ? first_whole - 1 : first_whole));
    if (before > 1e-3) t.weights.push_back(static_cast<float>(before / cell));
    for (int64_t s = first_whole; s < last_whole; s++) t.weights.push_back(static_cast<float>(1.0 / cell));
    if (after > 1e-3) t.weights.push_back(static_cast<float>(std::min(std::min(after, 1.0), cell) / cell));
  }
  t.start.push_back(static_cast<int32_t>(t.weights.size()));
  return t;
}

// Enlarging: two taps; the second has weight only where the target pixel reaches over the border between two source
// pixels.
AxisTables linear_tables(int64_t from, int64_t to) {
  AxisTables t;
  const double k = scale(from, to), inverse = static_cast<double>(to) / static_cast<double>(from);
  for (int64_t d = 0; d < to; d++) {
    int64_t s = static_cast<int64_t>(std::floor(static_cast<double>(d) * k));
    auto f = static_cast<float>(static_cast<double>(d + 1) - static_cast<double>(s + 1) * inverse);
    f = f <= 0 ? 0.0f : f - std::floor(f);
    if (s >= from - 1) {
      s = from - 1;
      f = 0;
    }
    t.index.insert(t.index.end(), {clamp(s, from), clamp(s + 1, from)});
    t.fixed_weights.insert(t.fixed_weights.end(), {to_fixed(1.0f - f), to_fixed(f)});
  }
  return t;
}

AxisTables lanczos_tables(int64_t from, int64_t to) {
  AxisTables t;
  constexpr double kPi = 3.14159265358979323846;
  const double k = scale(from, to);
  for (int64_t d = 0; d < to; d++) {
    const auto position = static_cast<float>((static_cast<double>(d) + 0.5) * k - 0.5);
    const auto s = static_cast<int64_t>(std::floor(position));
    const double f = position - static_cast<float>(s);
    double weights[8], sum = 0;
    for (int tap = 0; tap < 8; tap++) {
      const double x = kPi * (f + 3 - tap);
      weights[tap] = std::abs(x) < 1e-6 ? 1.0 : std::sin(x) * std::sin(x / 4) * 4 / (x * x);
      sum += weights[tap];
    }
    for (int tap = 0; tap < 8; tap++) {
      t.index.push_back(clamp(s - 3 + tap, from));
      t.fixed_weights.push_back(to_fixed(weights[tap] / sum));
    }
  }
  return t;
}

}  // namespace

Tensor resize_image(const Tensor& image, int64_t height, int64_t width, const std::string& method) {
  CHECK("resizeImage", image.rank() == 3 && image.size(2) == 3 && image.dtype == DType::kUint8 && image.contiguous(),
        "expected contiguous uint8 [h, w, 3]");
  CHECK("resizeImage", image.count() > 0 && height > 0 && width > 0, "sizes must be positive");
  ResizeImageParams p{};
  p.in_height = image.size(0);
  p.in_width = image.size(1);
  p.height = height;
  p.width = width;
  AxisTables rows, columns;
  if (method == "lanczos") {
    p.mode = ResizeMode::kLanczos;
    rows = lanczos_tables(p.in_height, height);
    columns = lanczos_tables(p.in_width, width);
  } else if (p.in_height < height || p.in_width < width) {
    p.mode = ResizeMode::kLinear;
    rows = linear_tables(p.in_height, height);
    columns = linear_tables(p.in_width, width);
  } else if (p.in_height % height == 0 && p.in_width % width == 0) {
    p.mode = ResizeMode::kBlocks;
  } else {
    p.mode = ResizeMode::kArea;
    rows = area_tables(p.in_height, height);
    columns = area_tables(p.in_width, width);
  }
  Tensor y = empty(image, {height, width, 3});
  launch("resizeImage", {image}, {y}, [=, rows = std::move(rows), columns = std::move(columns)]() mutable {
    p.x = image.data_as<uint8_t>();
    p.y = y.data_as<uint8_t>();
    p.rows = rows.axis(p.in_height / p.height);
    p.columns = columns.axis(p.in_width / p.width);
    run_kernel("resizeImage", {cpu::resize_image}, p);
  });
  return y;
}

}  // namespace noisewright

#include "ops/resize_image/resize_plan.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"

namespace noisewright {

namespace {

constexpr double kPi = 3.14159265358979323846;

int32_t clamp(int64_t i, int64_t size) { return static_cast<int32_t>(std::clamp<int64_t>(i, 0, size - 1)); }

int16_t to_fixed(double weight) { return static_cast<int16_t>(std::nearbyint(static_cast<float>(weight) * 2048.0f)); }

double sinc(double t) { return t == 0 ? 1.0 : std::sin(kPi * t) / (kPi * t); }

double ratio(int64_t from, int64_t to) { return static_cast<double>(from) / static_cast<double>(to); }

// The same with OpenCV's rounding: where a border between target pixels meets one between source pixels, the last bit
// decides to which of them it belongs.
double scale(int64_t from, int64_t to) { return 1.0 / ratio(to, from); }

}  // namespace

ResizePlan::AxisTables ResizePlan::blocks(const Axis& axis) {
  AxisTables t;
  t.block = axis.from / axis.to;
  t.low = axis.begin * t.block;
  t.high = axis.end * t.block;
  return t;
}

// Shrinking: position d covers [d k, d k + k) of the source; pixels weigh by the share they have of it.
ResizePlan::AxisTables ResizePlan::area(const Axis& axis) {
  AxisTables t;
  const double k = scale(axis.from, axis.to);
  for (int64_t d = axis.begin; d < axis.end; d++) {
    const double begin = static_cast<double>(d) * k, end = begin + k,
                 cell = std::min(k, static_cast<double>(axis.from) - begin);
    int64_t first_whole = static_cast<int64_t>(std::ceil(begin)), last_whole = static_cast<int64_t>(std::floor(end));
    last_whole = std::min(last_whole, axis.from - 1);
    first_whole = std::min(first_whole, last_whole);
    t.start.push_back(static_cast<int32_t>(t.weights.size()));
    const double before = static_cast<double>(first_whole) - begin, after = end - static_cast<double>(last_whole);
    t.index.push_back(static_cast<int32_t>(before > 1e-3 ? first_whole - 1 : first_whole));
    if (before > 1e-3) t.weights.push_back(static_cast<float>(before / cell));
    for (int64_t s = first_whole; s < last_whole; s++) t.weights.push_back(static_cast<float>(1.0 / cell));
    if (after > 1e-3) t.weights.push_back(static_cast<float>(std::min(std::min(after, 1.0), cell) / cell));
  }
  t.start.push_back(static_cast<int32_t>(t.weights.size()));
  t.low = t.index.front();
  t.high = t.index.back() + t.start.back() - t.start[t.start.size() - 2];
  return t;
}

// Enlarging: two taps; the second has weight only where the target pixel reaches over the border between two source
// pixels.
ResizePlan::AxisTables ResizePlan::linear(const Axis& axis) {
  AxisTables t;
  const double k = scale(axis.from, axis.to);
  for (int64_t d = axis.begin; d < axis.end; d++) {
    int64_t s = static_cast<int64_t>(std::floor(static_cast<double>(d) * k));
    auto f = static_cast<float>(static_cast<double>(d + 1) - static_cast<double>(s + 1) * ratio(axis.to, axis.from));
    f = f <= 0 ? 0.0f : f - std::floor(f);
    if (s >= axis.from - 1) {
      s = axis.from - 1;
      f = 0;
    }
    t.index.insert(t.index.end(), {clamp(s, axis.from), clamp(s + 1, axis.from)});
    t.fixed_weights.insert(t.fixed_weights.end(), {to_fixed(1.0f - f), to_fixed(f)});
  }
  return t;
}

ResizePlan::AxisTables ResizePlan::lanczos(const Axis& axis) {
  AxisTables t;
  const double k = scale(axis.from, axis.to);
  for (int64_t d = axis.begin; d < axis.end; d++) {
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
      t.index.push_back(clamp(s - 3 + tap, axis.from));
      t.fixed_weights.push_back(to_fixed(weights[tap] / sum));
    }
  }
  return t;
}

// The filter reaches so far to each side, as many times more as the picture shrinks; what lies beyond the border is
// left out and the others weigh more.
template <class Filter>
ResizePlan::AxisTables ResizePlan::wide(const Axis& axis, double support, Filter&& filter) {
  AxisTables t;
  const double k = ratio(axis.from, axis.to), widening = std::max(k, 1.0), reach = support * widening;
  t.low = axis.from;
  for (int64_t d = axis.begin; d < axis.end; d++) {
    const double center = (static_cast<double>(d) + 0.5) * k;
    const int64_t low = std::max<int64_t>(0, static_cast<int64_t>(center - reach + 0.5));
    const int64_t high = std::min(axis.from, static_cast<int64_t>(center + reach + 0.5));
    std::vector<double> weights;
    double sum = 0;
    for (int64_t s = low; s < high; s++) {
      const double x = (static_cast<double>(s) - center + 0.5) / widening;
      weights.push_back(filter(x));
      sum += weights.back();
    }
    t.start.push_back(static_cast<int32_t>(t.wide_weights.size()));
    t.index.push_back(static_cast<int32_t>(low));
    for (const double weight : weights)
      t.wide_weights.push_back(static_cast<int32_t>(std::lround(weight / sum * (1 << 22))));
    t.low = std::min(t.low, low);
    t.high = std::max(t.high, high);
  }
  t.start.push_back(static_cast<int32_t>(t.wide_weights.size()));
  return t;
}

ResizePlan::AxisTables ResizePlan::lanczos3(const Axis& axis) {
  return wide(axis, 3.0, [](double x) { return std::abs(x) < 3 ? sinc(x) * sinc(x / 3) : 0.0; });
}

ResizePlan::AxisTables ResizePlan::box(const Axis& axis) {
  return wide(axis, 0.5, [](double x) { return x > -0.5 && x <= 0.5 ? 1.0 : 0.0; });
}

ResizePlan::ResizePlan(const ResizeRequest& request) : request_(request) {
  const auto& r = request_;
  CHECK("resizeImage", r.channels == 1 || r.channels == 3, "expected 1 or 3 channels");
  CHECK("resizeImage", r.in_height > 0 && r.in_width > 0 && r.rows > 0 && r.columns > 0, "sizes must be positive");
  CHECK("resizeImage", r.top >= 0 && r.left >= 0 && r.top + r.rows <= r.height && r.left + r.columns <= r.width,
        "the window must lie within the picture");
  const Axis rows{r.in_height, r.height, r.top, r.top + r.rows},
      columns{r.in_width, r.width, r.left, r.left + r.columns};
  const bool divides = r.in_height % r.height == 0 && r.in_width % r.width == 0;
  auto tables = area;
  if (r.method == "nearest") {
    mode_ = ResizeMode::kNearest;
    tables = nearest;
  } else if (r.method == "linear" && r.in_height == 2 * r.height && r.in_width == 2 * r.width) {
    // Each target pixel lies in the middle of four; OpenCV takes their plain mean.
    mode_ = ResizeMode::kBlocks;
    tables = blocks;
  } else if (r.method == "linear") {
    mode_ = ResizeMode::kLinear;
    rows_ = bilinear_rows(rows);
    columns_ = bilinear_columns(columns);
    return;
  } else if (r.method == "cubic") {
    mode_ = ResizeMode::kCubic;
    tables = cubic;
  } else if (r.method == "box") {
    mode_ = ResizeMode::kWide;
    tables = box;
  } else if (r.method == "lanczos") {
    mode_ = ResizeMode::kLanczos;
    tables = lanczos;
  } else if (r.method == "lanczos3") {
    mode_ = ResizeMode::kWide;
    tables = lanczos3;
  } else if (r.in_height < r.height || r.in_width < r.width) {
    mode_ = ResizeMode::kLinear;
    tables = linear;
  } else if (divides) {
    mode_ = ResizeMode::kBlocks;
    tables = blocks;
  } else {
    mode_ = ResizeMode::kArea;
  }
  rows_ = tables(rows);
  columns_ = tables(columns);
}

// Of `positions` those from `first` on, with source positions counted from the lowest that they need; `low` and `high`
// are still counted from the picture's border.
ResizePlan::AxisTables ResizePlan::part(const AxisTables& all, int64_t positions, int64_t first, int64_t count) {
  AxisTables t;
  t.block = all.block;
  t.low = all.low + first * all.block;
  t.high = t.low + count * all.block;
  if (all.index.empty()) return t;
  const int64_t taps = static_cast<int64_t>(all.index.size()) / positions;
  t.index.assign(all.index.begin() + first * taps, all.index.begin() + (first + count) * taps);
  t.low = *std::min_element(t.index.begin(), t.index.end());
  t.high = *std::max_element(t.index.begin(), t.index.end()) + 1;
  const auto slice = [](const auto& from, auto& to, int64_t begin, int64_t end) {
    if (!from.empty()) to.assign(from.begin() + begin, from.begin() + end);
  };
  slice(all.fixed_weights, t.fixed_weights, first * taps, (first + count) * taps);
  if (!all.start.empty()) {
    const int32_t begin = all.start[first], end = all.start[first + count];
    slice(all.weights, t.weights, begin, end);
    slice(all.wide_weights, t.wide_weights, begin, end);
    for (int64_t i = 0; i <= count; i++) t.start.push_back(all.start[first + i] - begin);
    for (int64_t i = 0; i < count; i++) t.high = std::max<int64_t>(t.high, t.index[i] + t.start[i + 1] - t.start[i]);
  }
  for (int32_t& index : t.index) index -= static_cast<int32_t>(t.low);
  return t;
}

// Leaves only positions [first, first + count) of an axis and the source positions [begin, end) that they need.
void ResizePlan::cut(AxisTables& axis, int64_t& positions, int64_t& source, int64_t first, int64_t count,
                     int64_t* begin, int64_t* end) {
  axis = part(axis, positions, first, count);
  *begin = axis.low;
  *end = axis.high;
  axis.low = 0;
  axis.high = source = *end - *begin;
  positions = count;
}

ResizePlan ResizePlan::row_band(int64_t first, int64_t count, int64_t* begin, int64_t* end) const {
  ResizePlan plan = *this;
  cut(plan.rows_, plan.request_.rows, plan.request_.in_height, first, count, begin, end);
  return plan;
}

ResizePlan ResizePlan::column_band(int64_t first, int64_t count, int64_t* begin, int64_t* end) const {
  ResizePlan plan = *this;
  cut(plan.columns_, plan.request_.columns, plan.request_.in_width, first, count, begin, end);
  return plan;
}

ResizeAxis ResizePlan::view(const AxisTables& t) {
  return {t.index.data(), t.start.data(), t.weights.data(), t.fixed_weights.data(), t.wide_weights.data(), t.block,
          t.low,          t.high};
}

ResizeImageParams ResizePlan::params(const uint8_t* x, uint8_t* y, uint8_t* scratch) const {
  const auto& r = request_;
  ResizeImageParams p{x,         y,     r.in_height, r.in_width,     r.channels, r.rows,
                      r.columns, mode_, view(rows_), view(columns_), scratch,    0};
  const int64_t line = mode_ == ResizeMode::kArea || mode_ == ResizeMode::kBlocks
                           ? (p.columns.high - p.columns.low) * r.channels
                           : r.columns * r.channels * taps_of(mode_);
  p.thread_scratch = (line * 4 + 63) / 64 * 64;
  return p;
}

int64_t ResizePlan::scratch_bytes(int threads) const {
  const ResizeImageParams p = params(nullptr, nullptr, nullptr);
  if (mode_ == ResizeMode::kWide) return (p.rows.high - p.rows.low) * p.width * p.channels;
  return p.thread_scratch * threads;
}

}  // namespace noisewright

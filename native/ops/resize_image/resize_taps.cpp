// Tables of the methods that take few source pixels, whatever the sizes: where a picture shrinks, most are passed over.
#include <algorithm>
#include <cmath>

#include "ops/resize_image/resize_plan.h"

namespace noisewright {

namespace {

int32_t clamp(int64_t i, int64_t size) { return static_cast<int32_t>(std::clamp<int64_t>(i, 0, size - 1)); }

int16_t to_fixed(float weight) { return static_cast<int16_t>(std::nearbyint(weight * 2048.0f)); }

// The middle of target position d among the middles of source positions, with OpenCV's rounding.
struct Place {
  int64_t floor;
  float fraction;
  Place(int64_t d, int64_t from, int64_t to) {
    const double scale = 1.0 / (static_cast<double>(to) / static_cast<double>(from));
    const auto position = static_cast<float>((static_cast<double>(d) + 0.5) * scale - 0.5);
    floor = static_cast<int64_t>(std::floor(position));
    fraction = position - static_cast<float>(floor);
  }
};

}  // namespace

// The source position that the middle of the target position lies in; on a border between two, the later one.
ResizePlan::AxisTables ResizePlan::nearest(const Axis& axis) {
  AxisTables t;
  for (int64_t d = axis.begin; d < axis.end; d++) {
    t.index.push_back(clamp((2 * d + 1) * axis.from / (2 * axis.to), axis.from));
    t.fixed_weights.push_back(2048);
  }
  return t;
}

// Beyond the border the same pixel counts twice, each time rounded on its own, as OpenCV has it for rows.
ResizePlan::AxisTables ResizePlan::bilinear_rows(const Axis& axis) {
  AxisTables t;
  for (int64_t d = axis.begin; d < axis.end; d++) {
    const Place p(d, axis.from, axis.to);
    t.index.insert(t.index.end(), {clamp(p.floor, axis.from), clamp(p.floor + 1, axis.from)});
    t.fixed_weights.insert(t.fixed_weights.end(), {to_fixed(1.0f - p.fraction), to_fixed(p.fraction)});
  }
  return t;
}

// For columns the border's pixel has all the weight there.
ResizePlan::AxisTables ResizePlan::bilinear_columns(const Axis& axis) {
  AxisTables t = bilinear_rows(axis);
  for (int64_t d = axis.begin; d < axis.end; d++) {
    const Place p(d, axis.from, axis.to);
    if (p.floor >= 0 && p.floor < axis.from - 1) continue;
    int16_t* weights = &t.fixed_weights[2 * (d - axis.begin)];
    weights[0] = 2048;
    weights[1] = 0;
  }
  return t;
}

// Keys' cubic convolution (1981) with a = -0.75.
ResizePlan::AxisTables ResizePlan::cubic(const Axis& axis) {
  constexpr float a = -0.75f;
  AxisTables t;
  for (int64_t d = axis.begin; d < axis.end; d++) {
    const Place p(d, axis.from, axis.to);
    const float x = p.fraction, y = 1.0f - x, outer = x + 1.0f;
    const float first = ((a * outer - 5.0f * a) * outer + 8.0f * a) * outer - 4.0f * a,
                second = ((a + 2.0f) * x - (a + 3.0f)) * x * x + 1.0f,
                third = ((a + 2.0f) * y - (a + 3.0f)) * y * y + 1.0f;
    for (int64_t tap = -1; tap <= 2; tap++) t.index.push_back(clamp(p.floor + tap, axis.from));
    for (const float weight : {first, second, third, 1.0f - first - second - third})
      t.fixed_weights.push_back(to_fixed(weight));
  }
  return t;
}

}  // namespace noisewright

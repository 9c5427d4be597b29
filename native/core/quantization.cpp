#include "core/quantization.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

namespace noisewright {

namespace {

// Bins between 0.1 and 1 with float32 edges evaluated from the nearer end, one rounding each, as vectorised `linspace`
// does.
std::vector<float> bin_means(int bins) {
  const float step = (1.0f - 0.1f) / static_cast<float>(bins);
  const auto edge = [&](int t) {
    return t < (bins + 1) / 2 ? std::fma(step, static_cast<float>(t), 0.1f)
                              : std::fma(-step, static_cast<float>(bins - t), 1.0f);
  };
  std::vector<float> means;
  for (int j = 0; j < bins; j++) means.push_back((edge(j) + edge(j + 1)) / 2.0f);
  return means;
}

// The smallest number whose code is `code`: the midpoint before it, or its successor where the tie goes to the even
// code before.
float first_of(const QuantizationMap& map, int code) {
  const float midpoint = map.midpoint[code - 1];
  return code % 2 == 0 ? midpoint : std::nextafter(midpoint, 2.0f);
}

void make_regions(QuantizationMap& map) {
  map.threshold[0] = 0;
  map.offset[0] = map.last[0] = static_cast<float>(map.zero);
  for (int region = 1, first = map.zero + 1; region <= 7; region++) {
    const int bins = (map.zero > 0 ? 1 : 2) << (region - 1);
    const double scale = std::pow(10.0, region - 7), slope = bins / (0.9 * scale);
    map.threshold[region] = first_of(map, first);
    map.slope[region] = static_cast<float>(slope);
    map.offset[region] = static_cast<float>(first - 0.5 - 0.1 * scale * slope);
    map.last[region] = static_cast<float>(first + bins - 1);
    first += bins;
  }
  map.threshold[8] = first_of(map, 255);
  map.offset[8] = map.last[8] = 255;
  for (int binade = 0; binade < QuantizationMap::kBinades; binade++) {
    const float begin = std::ldexp(1.0f, binade - 31), end = 2 * begin;
    int region = 0;
    while (region < 8 && binade > 0 && map.threshold[region + 1] <= begin) region++;
    map.binade_region[binade] = region;
    const bool inside = region < 8 && map.threshold[region + 1] < end;
    map.binade_threshold[binade] = inside ? map.threshold[region + 1] : std::numeric_limits<float>::infinity();
  }
}

QuantizationMap make_map(bool with_negatives) {
  constexpr float kScales[] = {1e-6f, 1e-5f, 1e-4f, 1e-3f, 1e-2f, 1e-1f, 1.0f};
  std::vector<float> values = {0.0f, 1.0f};
  for (int decade = 0; decade < 7; decade++)
    for (const float mean : bin_means(with_negatives ? 1 << decade : 2 << decade)) {
      values.push_back(kScales[decade] * mean);
      if (with_negatives) values.push_back(-kScales[decade] * mean);
    }
  std::sort(values.begin(), values.end());
  QuantizationMap map{};
  std::copy(values.begin(), values.end(), map.value);
  map.zero = with_negatives ? 127 : 0;
  for (int k = 0; k < 255; k++) map.midpoint[k] = (map.value[k] + map.value[k + 1]) * 0.5f;
  map.midpoint[255] = std::numeric_limits<float>::infinity();
  for (int prefix = 0; prefix < QuantizationMap::kPrefixes; prefix++) {
    const uint32_t bits = static_cast<uint32_t>(prefix) << 16;
    float smallest;
    std::memcpy(&smallest, &bits, 4);
    map.base[prefix] =
        static_cast<uint8_t>(std::lower_bound(map.midpoint, map.midpoint + 255, smallest) - map.midpoint);
  }
  make_regions(map);
  return map;
}

}  // namespace

const QuantizationMap& signed_quantization_map() {
  static const QuantizationMap map = make_map(true);
  return map;
}

const QuantizationMap& unsigned_quantization_map() {
  static const QuantizationMap map = make_map(false);
  return map;
}

}  // namespace noisewright

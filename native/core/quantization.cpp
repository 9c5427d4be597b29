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

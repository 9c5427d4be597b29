// One pixel to hue, saturation and value and back. The same text serves the CPU's kernel and the GPU's: whoever
// includes this has named the namespace (NOISEWRIGHT_TARGET) and defined NW_INLINE.
#pragma once
#include <math.h>

#include "ops/shift_hue/shift_hue.h"

namespace noisewright::NOISEWRIGHT_TARGET {
namespace {

struct Hsv {
  int hue, saturation, value;
};

NW_INLINE Hsv to_hsv(int r, int g, int b, const HueTables& tables) {
  const int value = r > g ? (r > b ? r : b) : (g > b ? g : b);
  const int least = r < g ? (r < b ? r : b) : (g < b ? g : b);
  const int range = value - least;
  const int rounding = 1 << (kHueFractionBits - 1);
  const int turn = value == r ? g - b : value == g ? b - r + 2 * range : r - g + 4 * range;
  const int hue = (turn * tables.hue[range] + rounding) >> kHueFractionBits;
  return {hue < 0 ? hue + kHues : hue, (range * tables.saturation[value] + rounding) >> kHueFractionBits, value};
}

// Rounded, as OpenCV does in narrow pictures; its vector code for wide ones cuts, up to one level darker.
NW_INLINE uint8_t to_byte(float x) { return static_cast<uint8_t>(nearbyintf(x * 255.0f)); }

NW_INLINE void from_hsv(const Hsv& color, uint8_t* rgb) {
  const float saturation = static_cast<float>(color.saturation) * (1.0f / 255.0f);
  const float value = static_cast<float>(color.value) * (1.0f / 255.0f);
  const float turn = static_cast<float>(color.hue) * (6.0f / static_cast<float>(kHues));
  const int sector = static_cast<int>(turn);
  const float part = turn - static_cast<float>(sector);
  const float low = value * (1.0f - saturation);
  const float falling = value * (1.0f - saturation * part);
  const float rising = value * (1.0f - saturation * (1.0f - part));
  for (int c = 0; c < 3; c++) {
    const int place = (sector + 6 - 2 * c) % 6;  // green goes through what red does two sectors later, blue four
    rgb[c] = to_byte(place == 0 || place == 5 ? value : place == 1 ? falling : place == 4 ? rising : low);
  }
}

NW_INLINE void turn_pixel(const uint8_t* x, uint8_t* y, const HueTables& tables) {
  Hsv color = to_hsv(x[0], x[1], x[2], tables);
  color.hue = tables.turned[color.hue % kHues];
  from_hsv(color, y);
}

}  // namespace
}  // namespace noisewright::NOISEWRIGHT_TARGET

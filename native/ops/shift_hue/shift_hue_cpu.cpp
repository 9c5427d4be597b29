#include "ops/shift_hue/shift_hue.h"

#include <math.h>
#include <string.h>

#include "core/parallel.h"

namespace noisewright::NOISEWRIGHT_TARGET {
namespace {

constexpr int kHues = 180;
constexpr int kFractionBits = 12;

/** Rounded quotients by every 8-bit value, so that dividing costs a multiplication: factor * 2^12 / i. */
struct Quotients {
  int saturation[256];
  int hue[256];
};

Quotients make_quotients() {
  Quotients q{};
  for (int i = 1; i < 256; i++) {
    q.saturation[i] = static_cast<int>(nearbyint((255 << kFractionBits) / (1.0 * i)));
    q.hue[i] = static_cast<int>(nearbyint((kHues << kFractionBits) / (6.0 * i)));
  }
  return q;
}

struct Hsv {
  int hue, saturation, value;
};

Hsv to_hsv(int r, int g, int b, const Quotients& q) {
  const int value = r > g ? (r > b ? r : b) : (g > b ? g : b);
  const int least = r < g ? (r < b ? r : b) : (g < b ? g : b);
  const int range = value - least;
  const int rounding = 1 << (kFractionBits - 1);
  const int turn = value == r ? g - b : value == g ? b - r + 2 * range : r - g + 4 * range;
  const int hue = (turn * q.hue[range] + rounding) >> kFractionBits;
  return {hue < 0 ? hue + kHues : hue, (range * q.saturation[value] + rounding) >> kFractionBits, value};
}

// Rounded, as OpenCV does in narrow pictures; its vector code for wide ones cuts, up to one level darker.
uint8_t to_byte(float x) { return static_cast<uint8_t>(nearbyintf(x * 255.0f)); }

void from_hsv(const Hsv& color, uint8_t* rgb) {
  const float saturation = static_cast<float>(color.saturation) * (1.0f / 255.0f);
  const float value = static_cast<float>(color.value) * (1.0f / 255.0f);
  const float turn = static_cast<float>(color.hue) * (6.0f / static_cast<float>(kHues));
  const int sector = static_cast<int>(turn);
  const float part = turn - static_cast<float>(sector);
  const float low = value * (1.0f - saturation);
  const float falling = value * (1.0f - saturation * part);
  const float rising = value * (1.0f - saturation * (1.0f - part));
  const float table[4] = {value, low, falling, rising};
  static constexpr int kOrder[6][3] = {{0, 3, 1}, {2, 0, 1}, {1, 0, 3}, {1, 2, 0}, {3, 1, 0}, {0, 1, 2}};
  for (int c = 0; c < 3; c++) rgb[c] = to_byte(table[kOrder[sector % 6][c]]);
}

}  // namespace

void shift_hue(const ShiftHueParams& p) {
  if (p.shift == 0) {
    memcpy(p.y, p.x, static_cast<size_t>(p.pixels) * 3);
    return;
  }
  const Quotients quotients = make_quotients();
  int hues[kHues];
  for (int hue = 0; hue < kHues; hue++) {
    const double turned = fmod(hue + p.shift, static_cast<double>(kHues));
    hues[hue] = static_cast<int>(turned < 0 ? turned + kHues : turned) % kHues;
  }
  parallel_chunks(p.pixels, 4096, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const uint8_t* x = p.x + i * 3;
      Hsv color = to_hsv(x[0], x[1], x[2], quotients);
      color.hue = hues[color.hue % kHues];
      from_hsv(color, p.y + i * 3);
    }
  });
}

}  // namespace noisewright::NOISEWRIGHT_TARGET

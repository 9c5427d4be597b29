// Block-wise 8-bit numbers: a code chooses one of 256 values in [-1, 1], the block's largest magnitude scales it. The
// values are denser towards zero, seven decades of them ("dynamic" quantisation; Dettmers et al., "8-bit optimizers via
// block-wise quantization", 2022), and equal those of the common implementation bit by bit, so saved states can be
// exchanged.
#pragma once
#include <cstdint>

namespace noisewright {

constexpr int64_t kQuantizationBlock = 256;

struct QuantizationMap {
  static constexpr int kPrefixes = 0x3F80 + 1;  // upper halves of the float32 patterns of [0, 1]
  float value[256];                             // ascending; 1.0 is last; 0.0 is code `zero`
  float midpoint[256];                          // midpoint[k] parts codes k and k + 1; the last is infinite
  // The code of the smallest number that shares the prefix. At most one midpoint lies behind one prefix, so a number's
  // code is this or the next, decided by one comparison.
  uint8_t base[kPrefixes];
  int zero;

  // The same for many numbers at once: from threshold[r] to the next the codes are round(slope u + offset), at most
  // `last`. The regions are zero (before the first threshold), the seven decades, and one. Where the rounding is close
  // the midpoints decide.
  static constexpr int kRegions = 9, kRegionSlots = 16;  // slots: one vector's worth
  float threshold[kRegionSlots], slope[kRegionSlots], offset[kRegionSlots], last[kRegionSlots];

  // The region found by the exponent: binade b holds [2^(b - 31), 2^(b - 30)), the first also what is smaller, and at
  // most one region begins inside a binade.
  static constexpr int kBinades = 32;
  float binade_threshold[kBinades];
  int32_t binade_region[kBinades];  // at the start of the binade; behind the threshold it is the next
};

// With negative values (first moments), or without (second moments). Made once.
const QuantizationMap& signed_quantization_map();
const QuantizationMap& unsigned_quantization_map();

}  // namespace noisewright

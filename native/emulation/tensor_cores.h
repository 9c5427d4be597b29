// What tensor cores do, lane by lane; cuda/mma.h says which lane holds what. The order of the sums is ours: hardware
// does not document its own.
#pragma once
#include <cstring>
#include <string>

#include "emulation/scheduler.h"

namespace noisewright::emulation {

constexpr uint32_t kAllLanes = 0xFFFFFFFFu;

inline void load_matrices(bool transposed, const void* row, uint32_t (&to)[4], Place place = Place::current()) {
  if (reinterpret_cast<uintptr_t>(row) % 16 || !is_shared(row, 16))
    throw KernelError("a row of a matrix must be 16 bytes of shared memory at an address divisible by 16, in " +
                      running_thread());
  const Slots slots = exchange(kAllLanes, row, 16, place);
  const unsigned g = lane_index() / 4, t = lane_index() % 4;
  for (unsigned i = 0; i < 4; i++) {
    uint16_t pair[2];
    for (unsigned k = 0; k < 2; k++) {
      const unsigned r = transposed ? 2 * t + k : g, column = transposed ? g : 2 * t + k;
      std::memcpy(pair + k, slots.of(8 * i + r) + 2 * column, 2);
    }
    to[i] = pair[0] | uint32_t{pair[1]} << 16;
  }
  finish_exchange(slots);
}

// The elements of A and B that one lane holds, in the order of its words.
struct MmaLane {
  float a[8], b[4];
};

// c += A B, A [16, 16] and B [16, 8].
inline void multiply_16(const MmaLane& mine, float (&c)[4], Place place = Place::current()) {
  const Slots slots = exchange(kAllLanes, &mine, sizeof mine, place);
  const auto lane = [&](unsigned i) { return reinterpret_cast<const MmaLane*>(slots.of(i)); };
  const unsigned g = lane_index() / 4, t = lane_index() % 4;
  for (unsigned k = 0; k < 16; k++) {
    const unsigned q = k % 8 / 2, half = k % 2 + k / 8 * 4;
    const float *a = lane(4 * g + q)->a + half, *b = lane(8 * t + q)->b, *d = lane(8 * t + 4 + q)->b;
    const unsigned at = k / 8 * 2 + k % 2;
    c[0] += a[0] * b[at];
    c[1] += a[0] * d[at];
    c[2] += a[2] * b[at];
    c[3] += a[2] * d[at];
  }
  finish_exchange(slots);
}

// c += A B, A [16, 8] and B [8, 8].
inline void multiply_8(const MmaLane& mine, float (&c)[4], Place place = Place::current()) {
  const Slots slots = exchange(kAllLanes, &mine, sizeof mine, place);
  const auto lane = [&](unsigned i) { return reinterpret_cast<const MmaLane*>(slots.of(i)); };
  const unsigned g = lane_index() / 4, t = lane_index() % 4;
  for (unsigned k = 0; k < 8; k++) {
    const float* a = lane(4 * g + k % 4)->a + k / 4 * 2;
    const float b = lane(8 * t + k % 4)->b[k / 4], d = lane(8 * t + 4 + k % 4)->b[k / 4];
    c[0] += a[0] * b;
    c[1] += a[0] * d;
    c[2] += a[1] * b;
    c[3] += a[1] * d;
  }
  finish_exchange(slots);
}

// To ten fraction bits, halves away from zero.
inline float round_to_tf32(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  if ((bits >> 23 & 255) != 255) bits = (bits + 0x1000) & ~uint32_t{0x1FFF};
  std::memcpy(&x, &bits, 4);
  return x;
}

}  // namespace noisewright::emulation

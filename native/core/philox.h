// Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011). Randomness is a function of
// (key, counter), not a state: the same arguments give the same bits on any device and any thread count.
#pragma once
#include <math.h>
#include <string.h>

#include <cstdint>

#ifdef __CUDACC__
#define NOISEWRIGHT_ANYWHERE __host__ __device__
#else
#define NOISEWRIGHT_ANYWHERE
#endif

namespace noisewright {

struct PhiloxBlock {
  uint32_t v[4];
};

NOISEWRIGHT_ANYWHERE static inline PhiloxBlock philox(uint64_t key, uint32_t c0, uint32_t c1, uint32_t c2,
                                                      uint32_t c3) {
  uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; round++) {
    const uint64_t p0 = 0xD2511F53ull * c0, p1 = 0xCD9E8D57ull * c2;
    const uint32_t n0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0, n2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c1 = static_cast<uint32_t>(p1);
    c3 = static_cast<uint32_t>(p0);
    c0 = n0;
    c2 = n2;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

// Which random numbers: a 64-bit key (the seed) and 64 bits of stream identity; the block index supplies the rest of
// the counter.
struct PhiloxStream {
  uint64_t seed;
  uint64_t stream;
};

NOISEWRIGHT_ANYWHERE static inline PhiloxBlock philox_block(const PhiloxStream& s, uint64_t block) {
  return philox(s.seed, static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32),
                static_cast<uint32_t>(s.stream), static_cast<uint32_t>(s.stream >> 32));
}

// Uniform in [0, 1) with 24 bits.
NOISEWRIGHT_ANYWHERE static inline float uniform_of(uint32_t bits) { return static_cast<float>(bits >> 8) * 0x1p-24f; }

// The functions below consist of additions, multiplications, divisions and square roots, which every device rounds
// alike; those of the mathematical libraries differ in their last bits.

// ln x of a normal number, within two units in the last place: x = 2^n m with m in [sqrt(1/2), sqrt 2), ln m the series
// of 2 artanh((m - 1) / (m + 1)).
NOISEWRIGHT_ANYWHERE static inline double log_of(double x) {
  uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  int n = static_cast<int>(bits >> 52) - 1023;
  bits = (bits & 0xFFFFFFFFFFFFFull) | 0x3FF0000000000000ull;
  double m;
  memcpy(&m, &bits, sizeof m);
  if (m > 1.4142135623730951) {
    m *= 0.5;
    n++;
  }
  const double s = (m - 1.0) / (m + 1.0), z = s * s;
  double series = 0.0;
  for (int k = 21; k >= 3; k -= 2) series = (series + 1.0 / k) * z;
  // ln 2 in two parts, of which n times the first is exact.
  return n * 0.693147180369123816490 + (n * 1.90821492927058770002e-10 + 2.0 * (s + s * series));
}

// cos and sin of 2 pi t, 0 <= t <= 1: series on the eighths of a turn around each quarter.
NOISEWRIGHT_ANYWHERE static inline void cos_sin_of_turn(double t, double* cosine, double* sine) {
  const int quarter = static_cast<int>(4.0 * t + 0.5);
  const double x = 6.283185307179586476925 * (t - 0.25 * quarter), z = x * x;
  double s = 0.0, c = 0.0;
  for (int k = 18; k >= 2; k -= 2) {
    s = (1.0 + s) * (-z * (1.0 / (k * (k + 1))));
    c = (1.0 + c) * (-z * (1.0 / (k * (k - 1))));
  }
  s = x + x * s;
  c = 1.0 + c;
  *cosine = quarter % 2 == 0 ? c : -s;
  *sine = quarter % 2 == 0 ? s : c;
  if (quarter == 2 || quarter == 3) {
    *cosine = -*cosine;
    *sine = -*sine;
  }
}

// Two standard normals from two words (Box-Muller in double precision, rounded once).
NOISEWRIGHT_ANYWHERE static inline void normals_of(uint32_t a, uint32_t b, float* first, float* second) {
  const double u = (a + 0.5) * 0x1p-32, radius = sqrt(-2.0 * log_of(u));
  double cosine, sine;
  cos_sin_of_turn((b + 0.5) * 0x1p-32, &cosine, &sine);
  *first = static_cast<float>(radius * cosine);
  *second = static_cast<float>(radius * sine);
}

}  // namespace noisewright

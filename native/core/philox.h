// Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011). Randomness is a function of
// (key, counter), not a state: the same arguments give the same bits on any device and any thread count.
#pragma once
#include <cmath>
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
static inline float uniform_of(uint32_t bits) { return static_cast<float>(bits >> 8) * 0x1p-24f; }

// Two standard normals from two words (Box-Muller in double precision, rounded once).
static inline void normals_of(uint32_t a, uint32_t b, float* first, float* second) {
  const double u = (a + 0.5) * 0x1p-32, angle = 6.283185307179586476925 * ((b + 0.5) * 0x1p-32);
  const double radius = std::sqrt(-2.0 * std::log(u));
  *first = static_cast<float>(radius * std::cos(angle));
  *second = static_cast<float>(radius * std::sin(angle));
}

}  // namespace noisewright

// Bound by the generator: a few Philox blocks are computed side by side, one in each 64-bit lane. Only the low 32 bits
// of a lane count, which is all that the 32 x 32 -> 64 bit multiplication reads.
#include "ops/dropout/dropout.h"

#include "core/rows.h"

namespace noisewright::NOISEWRIGHT_TARGET {

namespace {

#if defined(__AVX512F__)
constexpr int kWide = 8;
struct Wide {
  __m512i v;
};
NW_INLINE Wide wide_of(const uint64_t* p) { return {_mm512_loadu_si512(p)}; }
NW_INLINE Wide wide_of(uint64_t x) { return {_mm512_set1_epi64(static_cast<int64_t>(x))}; }
NW_INLINE void store(uint64_t* p, Wide a) { _mm512_storeu_si512(p, a.v); }
NW_INLINE Wide multiply(Wide a, Wide b) { return {_mm512_maskz_mul_epu32(0xFF, a.v, b.v)}; }
// Shifts with a zero mask source: the plain ones start from an undefined register, of which the compiler warns.
NW_INLINE Wide high(Wide a) { return {_mm512_maskz_srli_epi64(0xFF, a.v, 32)}; }
NW_INLINE Wide join(Wide low, Wide high) {  // the low words of both
  return {_mm512_mask_mov_epi32(low.v, 0xAAAA, _mm512_maskz_slli_epi64(0xFF, high.v, 32))};
}
NW_INLINE Wide operator^(Wide a, Wide b) { return {_mm512_xor_si512(a.v, b.v)}; }
#elif defined(__AVX2__)
constexpr int kWide = 4;
struct Wide {
  __m256i v;
};
NW_INLINE Wide wide_of(const uint64_t* p) { return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))}; }
NW_INLINE Wide wide_of(uint64_t x) { return {_mm256_set1_epi64x(static_cast<int64_t>(x))}; }
NW_INLINE void store(uint64_t* p, Wide a) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a.v); }
NW_INLINE Wide multiply(Wide a, Wide b) { return {_mm256_mul_epu32(a.v, b.v)}; }
NW_INLINE Wide high(Wide a) { return {_mm256_srli_epi64(a.v, 32)}; }
NW_INLINE Wide join(Wide low, Wide high) { return {_mm256_blend_epi32(low.v, _mm256_slli_epi64(high.v, 32), 0xAA)}; }
NW_INLINE Wide operator^(Wide a, Wide b) { return {_mm256_xor_si256(a.v, b.v)}; }
#else
constexpr int kWide = 1;
struct Wide {
  uint64_t v;
};
NW_INLINE Wide wide_of(const uint64_t* p) { return {*p}; }
NW_INLINE Wide wide_of(uint64_t x) { return {x}; }
NW_INLINE void store(uint64_t* p, Wide a) { *p = a.v; }
NW_INLINE Wide multiply(Wide a, Wide b) { return {(a.v & 0xFFFFFFFF) * (b.v & 0xFFFFFFFF)}; }
NW_INLINE Wide high(Wide a) { return {a.v >> 32}; }
NW_INLINE Wide join(Wide low, Wide high) { return {(low.v & 0xFFFFFFFF) | high.v << 32}; }
NW_INLINE Wide operator^(Wide a, Wide b) { return {a.v ^ b.v}; }
#endif

constexpr int kBlocks = 16, kStep = 4 * kBlocks, kGroups = kBlocks / kWide;

// scales[0..64) = factor or 0 for the 64 elements of the blocks from `first`.
void mask_scales(const DropoutParams& p, uint64_t first, float* scales) {
  uint64_t blocks[kBlocks];
  for (int b = 0; b < kBlocks; b++) blocks[b] = first + static_cast<uint64_t>(b);
  Wide c0[kGroups], c1[kGroups], c2[kGroups], c3[kGroups];
  for (int g = 0; g < kGroups; g++) {
    c0[g] = wide_of(blocks + g * kWide);
    c1[g] = high(c0[g]);
    c2[g] = wide_of(p.stream.stream);
    c3[g] = high(c2[g]);
  }
  const Wide m0 = wide_of(uint64_t{0xD2511F53}), m1 = wide_of(uint64_t{0xCD9E8D57});
  uint32_t k0 = static_cast<uint32_t>(p.stream.seed), k1 = static_cast<uint32_t>(p.stream.seed >> 32);
  for (int round = 0; round < 10; round++) {
    const Wide key0 = wide_of(uint64_t{k0}), key1 = wide_of(uint64_t{k1});
    for (int g = 0; g < kGroups; g++) {
      const Wide p0 = multiply(m0, c0[g]), p1 = multiply(m1, c2[g]);
      c0[g] = high(p1) ^ c1[g] ^ key0;
      c2[g] = high(p0) ^ c3[g] ^ key1;
      c1[g] = p1;
      c3[g] = p0;
    }
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  uint64_t front[kBlocks], back[kBlocks];  // words 0 and 1, words 2 and 3 of each block
  for (int g = 0; g < kGroups; g++) {
    store(front + g * kWide, join(c0[g], c1[g]));
    store(back + g * kWide, join(c2[g], c3[g]));
  }
  uint32_t words[kStep];
  for (int b = 0; b < kBlocks; b++) {
    std::memcpy(words + 4 * b, front + b, 8);
    std::memcpy(words + 4 * b + 2, back + b, 8);
  }
  for (int i = 0; i < kStep; i++) scales[i] = (words[i] >> 8) >= p.threshold ? p.factor : 0.0f;
}

template <class T>
void dropout_typed(const DropoutParams& p) {
  const auto* x = static_cast<const T*>(p.x);
  auto* y = static_cast<T*>(p.y);
  parallel_chunks(p.count, 16384, [&](int64_t begin, int64_t end) {
    float scales[kStep];
    for (int64_t i = begin; i < end; i += kStep) {
      mask_scales(p, static_cast<uint64_t>(i / 4), scales);
      for_vectors(kStep < end - i ? kStep : end - i, [&](int64_t j, auto n) {
        // A kept infinity stays; a dropped one must not become NaN.
        const Vec s = load(scales + j);
        store_up_to(y + i + j, select_less(zero(), s, load_up_to(x + i + j, n) * s, zero()), n);
      });
    }
  });
}

}  // namespace

void dropout_forward(const DropoutParams& p) {
  with_float_type(p.dtype, [&](auto* t) { dropout_typed<std::remove_pointer_t<decltype(t)>>(p); });
}

}  // namespace noisewright::NOISEWRIGHT_TARGET

// Bound by the generator: sixteen Philox blocks are computed side by side, which the compiler turns into vector code.
#include "ops/dropout/dropout.h"

#include "core/rows.h"

namespace noisewright::NOISEWRIGHT_TARGET {

namespace {

constexpr int kBlocks = 16, kStep = 4 * kBlocks;

// scales[0..64) = factor or 0 for the 64 elements of the blocks from `first`.
void mask_scales(const DropoutParams& p, uint64_t first, float* scales) {
  uint32_t c0[kBlocks], c1[kBlocks], c2[kBlocks], c3[kBlocks];
  for (int b = 0; b < kBlocks; b++) {
    const uint64_t block = first + static_cast<uint64_t>(b);
    c0[b] = static_cast<uint32_t>(block);
    c1[b] = static_cast<uint32_t>(block >> 32);
    c2[b] = static_cast<uint32_t>(p.stream.stream);
    c3[b] = static_cast<uint32_t>(p.stream.stream >> 32);
  }
  uint32_t k0 = static_cast<uint32_t>(p.stream.seed), k1 = static_cast<uint32_t>(p.stream.seed >> 32);
  for (int round = 0; round < 10; round++) {
    for (int b = 0; b < kBlocks; b++) {
      const uint64_t p0 = 0xD2511F53ull * c0[b], p1 = 0xCD9E8D57ull * c2[b];
      c0[b] = static_cast<uint32_t>(p1 >> 32) ^ c1[b] ^ k0;
      c2[b] = static_cast<uint32_t>(p0 >> 32) ^ c3[b] ^ k1;
      c1[b] = static_cast<uint32_t>(p1);
      c3[b] = static_cast<uint32_t>(p0);
    }
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  for (int b = 0; b < kBlocks; b++) {
    scales[4 * b] = (c0[b] >> 8) >= p.threshold ? p.factor : 0.0f;
    scales[4 * b + 1] = (c1[b] >> 8) >= p.threshold ? p.factor : 0.0f;
    scales[4 * b + 2] = (c2[b] >> 8) >= p.threshold ? p.factor : 0.0f;
    scales[4 * b + 3] = (c3[b] >> 8) >= p.threshold ? p.factor : 0.0f;
  }
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
  with_compute_type(p.dtype, [&](auto* t) { dropout_typed<std::remove_pointer_t<decltype(t)>>(p); });
}

}  // namespace noisewright::NOISEWRIGHT_TARGET

// Memory bound: 28 bytes for a parameter with float32 states, 16 with codes. A task is 64 blocks of 256 elements of one
// tensor; a block of codes is decoded to the stack, updated with the block's new largest magnitudes, and encoded again.
#include "ops/adam_w/adam_w.h"

#include <math.h>

#include "core/parallel.h"
#include "core/quantization_cpu.h"
#include "core/simd.h"

namespace noisewright::NOISEWRIGHT_TARGET {

namespace {

struct Update {
  Vec scale, infinity, beta1, rest1, beta2, rest2, step_size, eps, decay;
  bool decay_after, skip_invalid;

  Update(const AdamWEntry& e, const AdamWParams& p)
      : scale(broadcast(p.clip ? p.clip[1] : 1.0f)),
        infinity(broadcast(__builtin_inff())),
        beta1(broadcast(e.beta1)),
        rest1(broadcast(1.0f - e.beta1)),
        beta2(broadcast(e.beta2)),
        rest2(broadcast(1.0f - e.beta2)),
        step_size(broadcast(e.step_size)),
        eps(broadcast(e.eps)),
        decay(broadcast(e.decay)),
        decay_after(p.decay_after),
        skip_invalid(p.skip_invalid) {}

  // kLanes elements: m and v are replaced, the new parameters returned.
  NW_INLINE Vec operator()(Vec param, Vec raw, Vec& m, Vec& v) const {
    const Vec g = raw * scale;
    m = fma(beta1, m, rest1 * g);
    v = fma(beta2, v, rest2 * g * g);
    const Vec start = decay_after ? param : param * decay;
    const Vec stepped = fnma(step_size, m / (sqrt(v) + eps), start);
    const Vec next = decay_after ? stepped * decay : stepped;
    if (!skip_invalid) return next;
    m = select_less(abs(raw), infinity, m, zero());
    v = select_less(abs(raw), infinity, v, zero());
    return select_less(abs(raw), infinity, next, param);
  }
};

NW_INLINE void store_param(const AdamWEntry& e, int64_t i, Vec param, int64_t left) {
  store_up_to(e.param + i, param, left);
  if (e.copy) store_up_to(e.copy + i, param, left);
}

void step_float32(const AdamWEntry& e, const Update& update, int64_t begin, int64_t end) {
  auto* state1 = static_cast<float*>(e.state1);
  auto* state2 = static_cast<float*>(e.state2);
  for (int64_t i = begin; i < end; i += kLanes) {
    const int64_t left = end - i;
    Vec m = load_up_to(state1 + i, left), v = load_up_to(state2 + i, left);
    const Vec param = update(load_up_to(e.param + i, left), load_up_to(e.gradient + i, left), m, v);
    store_up_to(state1 + i, m, left);
    store_up_to(state2 + i, v, left);
    store_param(e, i, param, left);
  }
}

template <bool with_negatives>
NW_INLINE void encode_state(const QuantizationMap& map, const float* x, float absmax, uint8_t* codes, int64_t n) {
  if (absmax == 0)
    std::memset(codes, map.zero, static_cast<size_t>(n));
  else
    encode_block<with_negatives, with_negatives>(map, x, absmax, codes, n);
}

void step_codes(const AdamWParams& p, const AdamWEntry& e, const Update& update, int64_t begin, int64_t end) {
  auto* state1 = static_cast<uint8_t*>(e.state1);
  auto* state2 = static_cast<uint8_t*>(e.state2);
  alignas(64) float m_block[kQuantizationBlock] = {}, v_block[kQuantizationBlock] = {};
  for (int64_t first = begin; first < end; first += kQuantizationBlock) {
    const int64_t n = end - first < kQuantizationBlock ? end - first : kQuantizationBlock,
                  block = first / kQuantizationBlock;
    decode_block(*p.signed_map, state1 + first, e.absmax1[block], m_block, n);
    decode_block(*p.unsigned_map, state2 + first, e.absmax2[block], v_block, n);
    Vec largest1 = zero(), largest2 = zero();
    for (int64_t i = 0; i < n; i += kLanes) {
      const int64_t at = first + i, left = n - i;
      Vec m = load_up_to(m_block + i, left), v = load_up_to(v_block + i, left);
      const Vec param = update(load_up_to(e.param + at, left), load_up_to(e.gradient + at, left), m, v);
      store_param(e, at, param, left);
      store(m_block + i, m);
      store(v_block + i, v);
      largest1 = max(largest1, abs(m));
      largest2 = max(largest2, v);
    }
    e.absmax1[block] = max_lanes(largest1);
    e.absmax2[block] = max_lanes(largest2);
    encode_state<true>(*p.signed_map, m_block, e.absmax1[block], state1 + first, n);
    encode_state<false>(*p.unsigned_map, v_block, e.absmax2[block], state2 + first, n);
  }
}

}  // namespace

void adam_w_step(const AdamWParams& p) {
  if (p.clip && !(p.clip[0] < __builtin_inff())) return;
  parallel_for(p.task_count, [&](int64_t task) {
    int64_t low = 0, high = p.entry_count - 1;
    while (low < high) {  // the last tensor whose tasks start at or before this one
      const int64_t middle = (low + high + 1) / 2;
      if (p.entries[middle].first_task <= task)
        low = middle;
      else
        high = middle - 1;
    }
    const AdamWEntry& e = p.entries[low];
    const int64_t begin = (task - e.first_task) * kAdamWTask,
                  end = begin + kAdamWTask < e.count ? begin + kAdamWTask : e.count;
    const Update update(e, p);
    if (e.absmax1)
      step_codes(p, e, update, begin, end);
    else
      step_float32(e, update, begin, end);
  });
}

}  // namespace noisewright::NOISEWRIGHT_TARGET

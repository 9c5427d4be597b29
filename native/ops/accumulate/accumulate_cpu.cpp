#include "ops/accumulate/accumulate.h"

#include "core/parallel.h"
#include "core/simd.h"

namespace noisewright::NOISEWRIGHT_TARGET {

namespace {

constexpr int64_t kChunk = 16384;

template <class T, class U>
void add_typed(T* y, const U* x, int64_t count) {
  parallel_chunks(count, kChunk, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += kLanes)
      store_up_to(y + i, load_up_to(y + i, end - i) + load_up_to(x + i, end - i), end - i);
  });
}

template <class T, class U>
void copy_typed(T* y, const U* x, int64_t count) {
  parallel_chunks(count, kChunk, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += kLanes) store_up_to(y + i, load_up_to(x + i, end - i), end - i);
  });
}

template <class T>
void scale_typed(T* y, float factor, int64_t count) {
  const Vec f = broadcast(factor);
  parallel_chunks(count, kChunk, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += kLanes)
      store_up_to(y + i, factor == 0 ? zero() : load_up_to(y + i, end - i) * f, end - i);
  });
}

}  // namespace

void accumulate_forward(const AccumulateParams& p) {
  if (p.op == InPlaceOp::kCopy && p.dtype == p.x_dtype) {  // any type, integers too
    const auto size = static_cast<int64_t>(item_size(p.dtype));
    return parallel_chunks(p.count * size, kChunk * 4, [&](int64_t begin, int64_t end) {
      std::memcpy(static_cast<char*>(p.y) + begin, static_cast<const char*>(p.x) + begin,
                  static_cast<size_t>(end - begin));
    });
  }
  with_float_type(p.dtype, [&](auto* t) {
    auto* y = static_cast<decltype(t)>(p.y);
    if (p.op == InPlaceOp::kScale) return scale_typed(y, p.factor, p.count);
    with_float_type(p.x_dtype, [&](auto* u) {
      const auto* x = static_cast<decltype(u)>(const_cast<void*>(p.x));
      if (p.op == InPlaceOp::kAdd) add_typed(y, x, p.count);
      if (p.op == InPlaceOp::kCopy) copy_typed(y, x, p.count);
    });
  });
}

}  // namespace noisewright::NOISEWRIGHT_TARGET

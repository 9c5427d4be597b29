// Memory bound: reads x once, writes y once. Pairs of float types go through the vectors of simd.h; loops over the
// others are simple enough for the compiler to vectorise.
#include "ops/cast/cast.h"

#include "core/rows.h"

namespace noisewright::NOISEWRIGHT_TARGET {

namespace {

struct Bool {
  uint8_t value;
};

template <class T>
constexpr bool kIsFloat = std::is_same_v<T, float> || std::is_same_v<T, bfloat16> || std::is_same_v<T, float16> ||
                          std::is_same_v<T, float8_e4m3fn>;

// The largest float that converts to Int without overflow is high for 8-bit types; 32 and 64 bits end just below 2^31
// and 2^63.
template <class Int>
NW_INLINE Int to_integer(float x) {
  constexpr bool narrow = sizeof(Int) == 1;
  constexpr float low = std::is_same_v<Int, uint8_t> ? 0.0f : narrow ? -128.0f : sizeof(Int) == 4 ? -0x1p31f : -0x1p63f;
  constexpr float high = std::is_same_v<Int, uint8_t> ? 255.0f
                         : narrow                     ? 127.0f
                         : sizeof(Int) == 4           ? 0x1.fffffep30f
                                                      : 0x1.fffffep62f;
  if (!(x == x)) return 0;
  if constexpr (!narrow)
    if (x > high) return sizeof(Int) == 4 ? static_cast<Int>(INT32_MAX) : static_cast<Int>(INT64_MAX);
  return static_cast<Int>(x < low ? low : x > high ? high : x);
}

template <class To, class From>
NW_INLINE To convert(From x) {
  if constexpr (std::is_same_v<From, Bool>) {
    return convert<To>(static_cast<uint8_t>(x.value != 0));
  } else if constexpr (std::is_same_v<To, Bool>) {
    if constexpr (kIsFloat<From>)
      return {static_cast<uint8_t>(to_float(x) != 0.0f)};
    else
      return {static_cast<uint8_t>(x != 0)};
  } else if constexpr (kIsFloat<From>) {
    return to_integer<To>(to_float(x));  // pairs of floats do not come here
  } else if constexpr (kIsFloat<To>) {
    return from_float<To>(static_cast<float>(x));
  } else {
    return static_cast<To>(x);
  }
}

template <class To, class From>
void cast_typed(const CastParams& p) {
  const auto* x = static_cast<const From*>(p.x);
  auto* y = static_cast<To*>(p.y);
  parallel_chunks(p.count, 32768, [&](int64_t begin, int64_t end) {
    if constexpr (kIsFloat<To> && kIsFloat<From>) {
      for_vectors(end - begin, [&](int64_t i, auto n) { store_up_to(y + begin + i, load_up_to(x + begin + i, n), n); });
    } else {
      for (int64_t i = begin; i < end; i++) y[i] = convert<To>(x[i]);
    }
  });
}

template <class Body>
void with_any_type(DType dtype, Body&& body) {
  switch (dtype) {
    case DType::kFloat32:
      return body(static_cast<float*>(nullptr));
    case DType::kBFloat16:
      return body(static_cast<bfloat16*>(nullptr));
    case DType::kFloat16:
      return body(static_cast<float16*>(nullptr));
    case DType::kUint8:
      return body(static_cast<uint8_t*>(nullptr));
    case DType::kInt8:
      return body(static_cast<int8_t*>(nullptr));
    case DType::kInt32:
      return body(static_cast<int32_t*>(nullptr));
    case DType::kInt64:
      return body(static_cast<int64_t*>(nullptr));
    case DType::kBool:
      return body(static_cast<Bool*>(nullptr));
    case DType::kFloat8E4M3:
      return body(static_cast<float8_e4m3fn*>(nullptr));
  }
}

}  // namespace

void cast_forward(const CastParams& p) {
  with_any_type(p.to, [&](auto* t) {
    using To = std::remove_pointer_t<decltype(t)>;
    with_any_type(p.from, [&](auto* u) { cast_typed<To, std::remove_pointer_t<decltype(u)>>(p); });
  });
}

}  // namespace noisewright::NOISEWRIGHT_TARGET

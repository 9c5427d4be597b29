// One kernel for each type of y; the type of x is the same for all threads, so that choosing it costs nothing. The
// conversions are those of the CPU kernel.
#include "cuda/elementwise.cuh"
#include "ops/cast/cast.h"

namespace noisewright::cuda {

namespace {

struct Bool {
  uint8_t value;
};

template <class T, class U>
constexpr bool kSame = false;
template <class T>
constexpr bool kSame<T, T> = true;
template <class T>
constexpr bool kIsFloat = kSame<T, float> || kSame<T, bfloat16> || kSame<T, float16> || kSame<T, float8_e4m3fn>;

// The largest float that converts to Int without overflow is high for 8-bit types; 32 and 64 bits end just below 2^31
// and 2^63.
template <class Int>
__device__ inline Int to_integer(float x) {
  constexpr bool narrow = sizeof(Int) == 1;
  constexpr float low = kSame<Int, uint8_t> ? 0.0f : narrow ? -128.0f : sizeof(Int) == 4 ? -0x1p31f : -0x1p63f;
  constexpr float high = kSame<Int, uint8_t> ? 255.0f
                         : narrow            ? 127.0f
                         : sizeof(Int) == 4  ? 0x1.fffffep30f
                                             : 0x1.fffffep62f;
  if (!(x == x)) return 0;
  if constexpr (!narrow)
    if (x > high) return sizeof(Int) == 4 ? static_cast<Int>(INT32_MAX) : static_cast<Int>(INT64_MAX);
  return static_cast<Int>(x < low ? low : x > high ? high : x);
}

template <class To, class From>
__device__ inline void convert(const From* x, To* y) {
  if constexpr (kSame<From, Bool>) {
    const uint8_t bit = x->value != 0;
    convert<To>(&bit, y);
  } else if constexpr (kSame<To, Bool>) {
    if constexpr (kIsFloat<From>)
      y->value = gpu::load(x) != 0.0f;
    else
      y->value = *x != 0;
  } else if constexpr (kIsFloat<From>) {
    *y = to_integer<To>(gpu::load(x));  // pairs of floats do not come here
  } else if constexpr (kIsFloat<To>) {
    gpu::store(y, static_cast<float>(*x));
  } else {
    *y = static_cast<To>(*x);
  }
}

template <class To, class From>
__device__ inline void cast_eight(const CastParams& p, bool wide, int64_t i) {
  const From* x = static_cast<const From*>(p.x) + i;
  To* y = static_cast<To*>(p.y) + i;
  const int64_t left = p.count - i;
  if constexpr (kIsFloat<To> && kIsFloat<From>)
    gpu::store_eight(y, gpu::load_eight(x, wide, left), wide, left);
  else
    for (int k = 0; k < kElementsPerThread && k < left; k++) convert(x + k, y + k);
}

template <class To>
__device__ inline void cast_to(const CastParams& p, bool wide) {
  const int64_t i = gpu::first_element();
  if (i >= p.count) return;
  switch (p.from) {
    case DType::kFloat32:
      return cast_eight<To, float>(p, wide, i);
    case DType::kBFloat16:
      return cast_eight<To, bfloat16>(p, wide, i);
    case DType::kFloat16:
      return cast_eight<To, float16>(p, wide, i);
    case DType::kUint8:
      return cast_eight<To, uint8_t>(p, wide, i);
    case DType::kInt8:
      return cast_eight<To, int8_t>(p, wide, i);
    case DType::kInt32:
      return cast_eight<To, int32_t>(p, wide, i);
    case DType::kInt64:
      return cast_eight<To, int64_t>(p, wide, i);
    case DType::kBool:
      return cast_eight<To, Bool>(p, wide, i);
    case DType::kFloat8E4M3:
      return cast_eight<To, float8_e4m3fn>(p, wide, i);
  }
}

}  // namespace

FLOAT_KERNEL(cast_to, float32, float, CastParams);
FLOAT_KERNEL(cast_to, bfloat16, bfloat16, CastParams);
FLOAT_KERNEL(cast_to, float16, float16, CastParams);
FLOAT_KERNEL(cast_to, uint8, uint8_t, CastParams);
FLOAT_KERNEL(cast_to, int8, int8_t, CastParams);
FLOAT_KERNEL(cast_to, int32, int32_t, CastParams);
FLOAT_KERNEL(cast_to, int64, int64_t, CastParams);
FLOAT_KERNEL(cast_to, bool, Bool, CastParams);
FLOAT_KERNEL(cast_to, float8_e4m3fn, float8_e4m3fn, CastParams);

}  // namespace noisewright::cuda

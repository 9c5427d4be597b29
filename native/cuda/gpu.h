// What every *_cuda.cu includes, and all it includes besides its op's own headers. The same source goes through nvcc
// for GPUs and through the host compiler for the emulation (native/emulation); whatever the two spell differently is
// here and nowhere else.
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/dtype.h"

#ifdef __CUDACC__

// Shared memory: SHARED(float, part, [32]); and, sized by the launch, DYN_SHARED(float, tile);
#define SHARED(type, name, extent) __shared__ type name extent
#define DYN_SHARED(type, name)                                    \
  extern __shared__ __align__(16) unsigned char gpu_dyn_shared[]; \
  type* name = reinterpret_cast<type*>(gpu_dyn_shared)
// KERNEL(name) follows the definition of each kernel and makes it known to the emulation. Compiled for a GPU, kernels
// are found by name.
#define KERNEL(name) static_assert(true)

#else

#include "emulation/cuda_on_cpu.h"

#define SHARED(type, name, extent)                                                 \
  static const unsigned name##_site = ::noisewright::emulation::new_shared_site(); \
  using name##_type = type extent;                                                 \
  auto& name =                                                                     \
      *static_cast<name##_type*>(::noisewright::emulation::shared_zone(name##_site, #name, sizeof(name##_type)))
#define DYN_SHARED(type, name) type* name = static_cast<type*>(::noisewright::emulation::dynamic_shared())
#define KERNEL(name)                                                                                                   \
  static const ::noisewright::emulation::RegisteredKernel name##_entry(#name, ::noisewright::emulation::unpack<&name>, \
                                                                       ::noisewright::emulation::sizes_of(&name))

#endif

namespace noisewright::gpu {

constexpr unsigned kWarpSize = 32;
constexpr unsigned kFullWarp = 0xFFFFFFFFu;

// ---- 16-bit floats. Stores round to nearest even, as core/simd.h does.

__device__ inline float load(const float* p) { return *p; }
__device__ inline void store(float* p, float x) { *p = x; }
__device__ inline float load(const bfloat16* p) { return __uint_as_float(static_cast<uint32_t>(p->bits) << 16); }
__device__ inline void store(bfloat16* p, float x) {
#ifdef __CUDACC__
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(p->bits) : "f"(x));
#else
  const uint32_t bits = __float_as_uint(x);
  p->bits = x != x ? 0x7FFF : static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
#endif
}
__device__ inline float load(const float16* p) {
#ifdef __CUDACC__
  float x;
  asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(p->bits));
  return x;
#else
  const uint32_t sign = static_cast<uint32_t>(p->bits & 0x8000) << 16, exponent = p->bits >> 10 & 31,
                 fraction = p->bits & 1023;
  if (exponent == 0) return __uint_as_float(__float_as_uint(static_cast<float>(fraction) * 0x1p-24f) | sign);
  return __uint_as_float(sign | (exponent == 31 ? 0x7F800000 : (exponent + 112) << 23) | fraction << 13);
#endif
}
__device__ inline void store(float16* p, float x) {
#ifdef __CUDACC__
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(p->bits) : "f"(x));
#else
  const uint32_t bits = __float_as_uint(x) & 0x7FFFFFFF, sign = __float_as_uint(x) >> 16 & 0x8000;
  uint32_t half;
  if (x != x)
    half = 0x7FFF;
  else if (bits >= 0x477FF000)  // 65520
    half = 0x7C00 | sign;
  else if (bits < 0x38800000)  // a subnormal float16: the adder rounds
    half = (__float_as_uint(__uint_as_float(bits) + 0.5f) - 0x3F000000) | sign;
  else
    half = ((bits - 0x38000000 + 0xFFF + (bits >> 13 & 1)) >> 13) | sign;
  p->bits = static_cast<uint16_t>(half);
#endif
}

// As core/simd.h. Only GPUs newer than those that are supported convert it themselves.
__device__ inline float load(const float8_e4m3fn* p) {
  const uint32_t sign = static_cast<uint32_t>(p->bits & 0x80) << 24, magnitude = p->bits & 0x7F;
  if (magnitude < 8) return __uint_as_float(__float_as_uint(static_cast<float>(magnitude) * 0x1p-9f) | sign);
  return __uint_as_float(sign | (magnitude == 0x7F ? 0x7FC00000 : (magnitude << 20) + (120u << 23)));
}
__device__ inline void store(float8_e4m3fn* p, float x) {
  const uint32_t bits = __float_as_uint(x) & 0x7FFFFFFF, sign = __float_as_uint(x) >> 24 & 0x80;
  uint32_t small;
  if (bits > 0x43E00000)  // NaN, or beyond 448
    small = bits > 0x7F800000 ? 0x7F : 0x7E;
  else if (bits < 0x3C800000)  // subnormal: the adder rounds
    small = __float_as_uint(__uint_as_float(bits) + 0x1p14f) - 0x46800000;
  else
    small = (bits - (120u << 23) + 0x7FFFF + (bits >> 20 & 1)) >> 20;
  p->bits = static_cast<uint8_t>(sign | small);
}

// Element i of a vector whose type is known when the kernel runs.
__device__ inline float load_any(const void* p, DType dtype, int64_t i) {
  if (dtype == DType::kBFloat16) return load(static_cast<const bfloat16*>(p) + i);
  if (dtype == DType::kFloat16) return load(static_cast<const float16*>(p) + i);
  return load(static_cast<const float*>(p) + i);
}

struct alignas(16) SixteenBytes {
  uint32_t word[4];
};

// One access of 16 bytes of global memory; the address is divisible by 16. nvcc takes what C++ writes as one access
// apart again where the scalar way for the ends of rows stands beside it, and does not know that an address from a
// table is global.
__device__ inline SixteenBytes load_16(const void* p) {
  SixteenBytes x;
#ifdef __CUDACC__
  asm volatile("ld.global.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(x.word[0]), "=r"(x.word[1]), "=r"(x.word[2]), "=r"(x.word[3])
               : "l"(__cvta_generic_to_global(p))
               : "memory");
#else
  x = *static_cast<const SixteenBytes*>(p);
#endif
  return x;
}
__device__ inline void store_16(void* p, const SixteenBytes& x) {
#ifdef __CUDACC__
  asm volatile("st.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(p)), "r"(x.word[0]),
               "r"(x.word[1]), "r"(x.word[2]), "r"(x.word[3])
               : "memory");
#else
  *static_cast<SixteenBytes*>(p) = x;
#endif
}

// Four neighbours with one access; the address is divisible by their size, and global but for load_shared and
// store_shared.
struct Four {
  float v[4];
};
template <class T>
struct alignas(4 * sizeof(T)) FourStored {
  T v[4];
};
__device__ inline Four load_shared(const float* p) {
  const FourStored<float> stored = *reinterpret_cast<const FourStored<float>*>(p);
  return {{stored.v[0], stored.v[1], stored.v[2], stored.v[3]}};
}
__device__ inline void store_shared(float* p, const Four& four) {
  *reinterpret_cast<FourStored<float>*>(p) = {{four.v[0], four.v[1], four.v[2], four.v[3]}};
}
template <class T>
__device__ inline Four load4(const T* p) {
  Four four;
  if constexpr (sizeof(T) == 4) {
    const SixteenBytes stored = load_16(p);
    for (int i = 0; i < 4; i++) four.v[i] = __uint_as_float(stored.word[i]);
  } else {
    const FourStored<T> stored = *reinterpret_cast<const FourStored<T>*>(p);
    for (int i = 0; i < 4; i++) four.v[i] = load(stored.v + i);
  }
  return four;
}
template <class T>
__device__ inline void store4(T* p, const Four& four) {
  if constexpr (sizeof(T) == 4) {
    SixteenBytes stored;
    for (int i = 0; i < 4; i++) stored.word[i] = __float_as_uint(four.v[i]);
    store_16(p, stored);
  } else {
    FourStored<T> stored;
    for (int i = 0; i < 4; i++) store(stored.v + i, four.v[i]);
    *reinterpret_cast<FourStored<T>*>(p) = stored;
  }
}

// Eight neighbours: one access of 16 bytes for 16-bit floats, two for float32, one of 8 for 8-bit floats; the address
// is divisible by as much as the access.
struct Eight {
  float v[8];
};
struct alignas(8) EightBytes {
  uint8_t byte[8];
};
template <class T>
__device__ inline Eight load8(const T* p) {
  Eight eight;
  if constexpr (sizeof(T) == 1) {
    const EightBytes stored = *reinterpret_cast<const EightBytes*>(p);
    for (int i = 0; i < 8; i++) {
      const T element{stored.byte[i]};
      eight.v[i] = load(&element);
    }
  } else if constexpr (sizeof(T) == 4) {
    const Four low = load4(p), high = load4(p + 4);
    for (int i = 0; i < 4; i++) {
      eight.v[i] = low.v[i];
      eight.v[4 + i] = high.v[i];
    }
  } else {
    const SixteenBytes stored = load_16(p);
    for (int i = 0; i < 8; i++) {
      const T element{static_cast<uint16_t>(stored.word[i / 2] >> (i % 2 * 16))};
      eight.v[i] = load(&element);
    }
  }
  return eight;
}
template <class T>
__device__ inline void store8(T* p, const Eight& eight) {
  if constexpr (sizeof(T) == 1) {
    EightBytes stored;
    for (int i = 0; i < 8; i++) {
      T element;
      store(&element, eight.v[i]);
      stored.byte[i] = element.bits;
    }
    *reinterpret_cast<EightBytes*>(p) = stored;
  } else if constexpr (sizeof(T) == 4) {
    store4(p, Four{{eight.v[0], eight.v[1], eight.v[2], eight.v[3]}});
    store4(p + 4, Four{{eight.v[4], eight.v[5], eight.v[6], eight.v[7]}});
  } else {
    SixteenBytes stored{};
    for (int i = 0; i < 8; i++) {
      T element;
      store(&element, eight.v[i]);
      stored.word[i / 2] |= static_cast<uint32_t>(element.bits) << (i % 2 * 16);
    }
    store_16(p, stored);
  }
}

// ---- Copies from global to shared memory that do not wait. What they bring may be read after wait_for_copies and a
// barrier.

// 16 bytes; both addresses divisible by 16.
__device__ inline void copy_async_16(void* shared, const void* global) {
#ifdef __CUDACC__
  const auto to = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(global) : "memory");
#else
  emulation::postpone_copy(shared, global, 16);
#endif
}

// The first `bytes` of 16, and zeros after them; `global` is not read where bytes is 0.
__device__ inline void copy_async_16(void* shared, const void* global, unsigned bytes) {
#ifdef __CUDACC__
  const auto to = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(global), "r"(bytes) : "memory");
#else
  emulation::postpone_copy(shared, global, bytes, 16 - bytes);
#endif
}

// Closes a group of this thread's copies.
__device__ inline void commit_copies() {
#ifdef __CUDACC__
  asm volatile("cp.async.commit_group;" ::: "memory");
#else
  emulation::commit_copies();
#endif
}

// Waits until at most kPending of this thread's groups are still under way.
template <int kPending>
__device__ inline void wait_for_copies() {
#ifdef __CUDACC__
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
#else
  emulation::wait_for_copies(kPending);
#endif
}

}  // namespace noisewright::gpu

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
#define KERNEL(name) \
  static const ::noisewright::emulation::RegisteredKernel name##_entry(#name, ::noisewright::emulation::unpack<&name>)

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

// Element i of a vector whose type is known when the kernel runs.
__device__ inline float load_any(const void* p, DType dtype, int64_t i) {
  return dtype == DType::kFloat32 ? load(static_cast<const float*>(p) + i) : load(static_cast<const bfloat16*>(p) + i);
}

// Four neighbours with one access; the address is divisible by their size.
struct Four {
  float v[4];
};
template <class T>
struct alignas(4 * sizeof(T)) FourStored {
  T v[4];
};
template <class T>
__device__ inline Four load4(const T* p) {
  const FourStored<T> stored = *reinterpret_cast<const FourStored<T>*>(p);
  Four four;
  for (int i = 0; i < 4; i++) four.v[i] = load(stored.v + i);
  return four;
}
template <class T>
__device__ inline void store4(T* p, const Four& four) {
  FourStored<T> stored;
  for (int i = 0; i < 4; i++) store(stored.v + i, four.v[i]);
  *reinterpret_cast<FourStored<T>*>(p) = stored;
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

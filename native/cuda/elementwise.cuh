// Parts of kernels that treat every element by itself: a thread takes eight neighbours, with accesses of 16 bytes where
// addresses allow. `wide` is aligned_for_eight of the tensors, asked by the host code.
#pragma once
#include "cuda/elementwise.h"
#include "cuda/gpu.h"

namespace noisewright::gpu {

// The first of this thread's elements in a row that thread blocks [0, ...) share.
__device__ inline int64_t first_element(int64_t block) {
  return (block * cuda::kElementThreads + threadIdx.x) * cuda::kElementsPerThread;
}
__device__ inline int64_t first_element() { return first_element(blockIdx.x); }

// Up to four elements at p, of which `left` exist; the others are zero and are not written. `wide`: with one access
// where all exist.
template <class T, class Count>
__device__ inline Four load_four(const T* p, bool wide, Count left) {
  if (wide && left >= 4) return load4(p);
  Four x{};
  for (int k = 0; k < 4 && static_cast<Count>(k) < left; k++) x.v[k] = load(p + k);
  return x;
}
template <class T, class Count>
__device__ inline void store_four(T* p, const Four& x, bool wide, Count left) {
  if (wide && left >= 4) return store4(p, x);
  for (int k = 0; k < 4 && static_cast<Count>(k) < left; k++) store(p + k, x.v[k]);
}

// Up to eight elements at p, of which `left` exist; the others are zero and are not written.
template <class T>
__device__ inline Eight load_eight(const T* p, bool wide, int64_t left) {
  if (wide && left >= 8) return load8(p);
  Eight x{};
  for (int k = 0; k < 8 && k < left; k++) x.v[k] = load(p + k);
  return x;
}
// The same for elements of a type that is known when the kernel runs, from number i on.
__device__ inline Eight load_eight_any(const void* p, DType dtype, int64_t i, bool wide, int64_t left) {
  if (dtype == DType::kBFloat16) return load_eight(static_cast<const bfloat16*>(p) + i, wide, left);
  if (dtype == DType::kFloat16) return load_eight(static_cast<const float16*>(p) + i, wide, left);
  return load_eight(static_cast<const float*>(p) + i, wide, left);
}
template <class T>
__device__ inline void store_eight(T* p, const Eight& x, bool wide, int64_t left) {
  if (wide && left >= 8) return store8(p, x);
  for (int k = 0; k < 8 && k < left; k++) store(p + k, x.v[k]);
}

// a / b and a % b of numbers that are not negative. Most fit 32 bits, whose division is several times as fast.
struct Division {
  int64_t quotient, remainder;
};
__device__ inline Division divide(int64_t a, int64_t b) {
  if ((a | b) >> 32 == 0) {
    const auto low = static_cast<uint32_t>(a), by = static_cast<uint32_t>(b);
    return {low / by, low % by};
  }
  return {a / b, a % b};
}

}  // namespace noisewright::gpu

// Kernels name_f32_kernel, name_bf16_kernel and name_f16_kernel of (Params p, bool wide) from the template name<T>.
#define FLOAT_KERNEL(name, type, T, Params)                                          \
  extern "C" __global__ void __launch_bounds__(::noisewright::cuda::kElementThreads) \
      name##_##type##_kernel(Params p, bool wide) {                                  \
    name<T>(p, wide);                                                                \
  }                                                                                  \
  KERNEL(name##_##type##_kernel)
#define FLOAT_KERNELS(name, Params)           \
  FLOAT_KERNEL(name, f32, float, Params);     \
  FLOAT_KERNEL(name, bf16, bfloat16, Params); \
  FLOAT_KERNEL(name, f16, float16, Params)

// The same for two types, name<T, U>: name_f32_bf16_kernel and its like.
#define FLOAT_PAIR_KERNEL(name, type, T, U, Params)                                  \
  extern "C" __global__ void __launch_bounds__(::noisewright::cuda::kElementThreads) \
      name##_##type##_kernel(Params p, bool wide) {                                  \
    name<T, U>(p, wide);                                                             \
  }                                                                                  \
  KERNEL(name##_##type##_kernel)
#define FLOAT_PAIR_KERNELS(name, Params)                          \
  FLOAT_PAIR_KERNEL(name, f32_f32, float, float, Params);         \
  FLOAT_PAIR_KERNEL(name, f32_bf16, float, bfloat16, Params);     \
  FLOAT_PAIR_KERNEL(name, f32_f16, float, float16, Params);       \
  FLOAT_PAIR_KERNEL(name, bf16_f32, bfloat16, float, Params);     \
  FLOAT_PAIR_KERNEL(name, bf16_bf16, bfloat16, bfloat16, Params); \
  FLOAT_PAIR_KERNEL(name, bf16_f16, bfloat16, float16, Params);   \
  FLOAT_PAIR_KERNEL(name, f16_f32, float16, float, Params);       \
  FLOAT_PAIR_KERNEL(name, f16_bf16, float16, bfloat16, Params);   \
  FLOAT_PAIR_KERNEL(name, f16_f16, float16, float16, Params)

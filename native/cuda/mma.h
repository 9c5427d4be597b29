// Tensor cores: 8x8 matrices of 16-bit floats from shared memory to registers, and products with float32 sums. Like
// gpu.h, which it includes, it holds PTX and what stands for it in the emulation. All 32 lanes call each function.
//
// With g = lane / 4 and t = lane % 4, a lane holds of
//   A [16, 16]: word r: row g + 8 (r % 2), columns 2 t + 8 (r / 2) and the next
//   B [16, 8]:  word r: rows 2 t + 8 r and the next, column g
//   sums [16, 8]: 0 and 1: row g, columns 2 t and 2 t + 1; 2 and 3: row g + 8
#pragma once
#include "cuda/gpu.h"

// Before loops over arrays that must live in registers, and before loops whose copies would make code large for
// nothing: nvcc unrolls by itself what it can count.
#ifdef __CUDACC__
#define UNROLL _Pragma("unroll")
#define KEEP_LOOP _Pragma("unroll 1")
#else
#define UNROLL
#define KEEP_LOOP
#endif

namespace noisewright::gpu {

struct FragmentA {
  uint32_t word[4];
};
struct FragmentB {
  uint32_t word[2];
};
struct Sums {
  float v[4];
};

// Four 8x8 matrices of 16-bit elements. Lane 8 i + r gives the address of row r of matrix i, 16 bytes in shared memory,
// divisible by 16. Word i of lane (g, t) is elements 2 t and 2 t + 1 of row g of matrix i, or, transposed, of column g.
template <bool kTransposed>
__device__ inline FragmentA load_matrices(const void* row) {
  FragmentA f;
#ifdef __CUDACC__
  const auto from = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  if constexpr (kTransposed)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(f.word[0]), "=r"(f.word[1]), "=r"(f.word[2]), "=r"(f.word[3])
                 : "r"(from)
                 : "memory");
  else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(f.word[0]), "=r"(f.word[1]), "=r"(f.word[2]), "=r"(f.word[3])
                 : "r"(from)
                 : "memory");
#else
  emulation::load_matrices(kTransposed, row, f.word);
#endif
  return f;
}

// Two numbers rounded to T, the first in the low half.
template <class T>
__device__ inline uint32_t pack(float low, float high) {
  T pair[2];
  store(pair, low);
  store(pair + 1, high);
  return pair[0].bits | static_cast<uint32_t>(pair[1].bits) << 16;
}

// sums += A B, for T = bfloat16 or float16.
template <class T>
__device__ inline void multiply_add(Sums& c, const FragmentA& a, const FragmentB& b) {
#ifdef __CUDACC__
  if constexpr (DTypeOf<T>::value == DType::kBFloat16)
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, "
        "%2, %3};"
        : "+f"(c.v[0]), "+f"(c.v[1]), "+f"(c.v[2]), "+f"(c.v[3])
        : "r"(a.word[0]), "r"(a.word[1]), "r"(a.word[2]), "r"(a.word[3]), "r"(b.word[0]), "r"(b.word[1]));
  else
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
        "%3};"
        : "+f"(c.v[0]), "+f"(c.v[1]), "+f"(c.v[2]), "+f"(c.v[3])
        : "r"(a.word[0]), "r"(a.word[1]), "r"(a.word[2]), "r"(a.word[3]), "r"(b.word[0]), "r"(b.word[1]));
#else
  emulation::MmaLane lane{};
  for (int i = 0; i < 8; i++) {
    const T x{static_cast<uint16_t>(a.word[i / 2] >> i % 2 * 16)};
    lane.a[i] = load(&x);
  }
  for (int i = 0; i < 4; i++) {
    const T x{static_cast<uint16_t>(b.word[i / 2] >> i % 2 * 16)};
    lane.b[i] = load(&x);
  }
  emulation::multiply_16(lane, c.v);
#endif
}

// sums += A B for A [16, 8] and B [8, 8] of float32 rounded to tf32, which has the ten fraction bits of float16 and the
// range of float32. A: row g + 8 (i % 2), column t + 4 (i / 2); B: row t + 4 i, column g.
__device__ inline void multiply_add_tf32(Sums& c, const float (&a)[4], const float (&b)[2]) {
#ifdef __CUDACC__
  uint32_t x[4], y[2];
  for (int i = 0; i < 4; i++) asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(x[i]) : "f"(a[i]));
  for (int i = 0; i < 2; i++) asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(y[i]) : "f"(b[i]));
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
      "%3};"
      : "+f"(c.v[0]), "+f"(c.v[1]), "+f"(c.v[2]), "+f"(c.v[3])
      : "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]), "r"(y[0]), "r"(y[1]));
#else
  emulation::MmaLane lane{};
  for (int i = 0; i < 4; i++) lane.a[i] = emulation::round_to_tf32(a[i]);
  for (int i = 0; i < 2; i++) lane.b[i] = emulation::round_to_tf32(b[i]);
  emulation::multiply_8(lane, c.v);
#endif
}

}  // namespace noisewright::gpu

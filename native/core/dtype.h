// Element types. The order is part of the boundary: lib/tensor/dtype.ts lists the same names in the same order.
#pragma once
#include <cstddef>
#include <cstdint>

namespace noisewright {

enum class DType : uint8_t { kFloat32, kBFloat16, kFloat16, kUint8, kInt8, kInt32, kInt64, kBool, kFloat8E4M3 };

constexpr const char* kDTypeNames[] = {"float32", "bfloat16", "float16", "uint8",        "int8",
                                       "int32",   "int64",    "bool",    "float8_e4m3fn"};
constexpr size_t kDTypeCount = 9;

constexpr size_t item_size(DType dtype) {
  constexpr size_t sizes[] = {4, 2, 2, 1, 1, 4, 8, 1, 1};
  return sizes[static_cast<int>(dtype)];
}
// The types that kernels compute with.
constexpr bool is_float(DType dtype) {
  return dtype == DType::kFloat32 || dtype == DType::kBFloat16 || dtype == DType::kFloat16;
}
// The types that products take weights in: float8_e4m3fn is for storage alone, see ops/cast/expanded_weight.h.
constexpr bool is_weight(DType dtype) { return is_float(dtype) || dtype == DType::kFloat8E4M3; }
constexpr const char* name_of(DType dtype) { return kDTypeNames[static_cast<int>(dtype)]; }

// Storage formats of 16-bit floats. Arithmetic happens in float32; core/simd.h converts.
struct bfloat16 {
  uint16_t bits;
};
struct float16 {
  uint16_t bits;
};
// Sign, 4 bits of exponent with bias 7, 3 of fraction: largest 448, smallest 2^-9, no infinities, NaN where all other
// bits are set. What is larger is stored as the largest, as PyTorch's cast does.
struct float8_e4m3fn {
  uint8_t bits;
};

template <class T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::kFloat32;
};
template <>
struct DTypeOf<bfloat16> {
  static constexpr DType value = DType::kBFloat16;
};
template <>
struct DTypeOf<float16> {
  static constexpr DType value = DType::kFloat16;
};

}  // namespace noisewright

// Element types. The order is part of the boundary: lib/tensor/dtype.ts lists the same names in the same order.
#pragma once
#include <cstddef>
#include <cstdint>

namespace noisewright {

enum class DType : uint8_t { kFloat32, kBFloat16, kFloat16, kUint8, kInt8, kInt32, kInt64, kBool };

constexpr const char* kDTypeNames[] = {"float32", "bfloat16", "float16", "uint8", "int8", "int32", "int64", "bool"};
constexpr size_t kDTypeCount = 8;

constexpr size_t item_size(DType dtype) {
  constexpr size_t sizes[] = {4, 2, 2, 1, 1, 4, 8, 1};
  return sizes[static_cast<int>(dtype)];
}
constexpr bool is_float(DType dtype) {
  return dtype == DType::kFloat32 || dtype == DType::kBFloat16 || dtype == DType::kFloat16;
}
constexpr const char* name_of(DType dtype) { return kDTypeNames[static_cast<int>(dtype)]; }

// Storage formats of 16-bit floats. Arithmetic happens in float32; core/simd.h converts.
struct bfloat16 {
  uint16_t bits;
};
struct float16 {
  uint16_t bits;
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

#include "ops/create/create.h"

#include "core/parallel.h"
#include "core/simd.h"

namespace noisewright::NOISEWRIGHT_TARGET {

namespace {

template <class T>
void fill_typed(const FillParams& p, T value) {
  auto* y = static_cast<T*>(p.y);
  parallel_chunks(p.count, 65536, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) y[i] = value;
  });
}

}  // namespace

void fill_forward(const FillParams& p) {
  switch (p.dtype) {
    case DType::kFloat32:
      return fill_typed(p, static_cast<float>(p.value));
    case DType::kBFloat16:
      return fill_typed(p, from_float<bfloat16>(static_cast<float>(p.value)));
    case DType::kFloat16:
      return fill_typed(p, from_float<float16>(static_cast<float>(p.value)));
    case DType::kUint8:
      return fill_typed(p, static_cast<uint8_t>(p.value));
    case DType::kInt8:
      return fill_typed(p, static_cast<int8_t>(p.value));
    case DType::kInt32:
      return fill_typed(p, static_cast<int32_t>(p.value));
    case DType::kInt64:
      return fill_typed(p, static_cast<int64_t>(p.value));
    case DType::kBool:
      return fill_typed(p, static_cast<uint8_t>(p.value != 0));
    case DType::kFloat8E4M3:
      return fill_typed(p, from_float<float8_e4m3fn>(static_cast<float>(p.value)));
  }
}

void random_uniform(const RandomParams& p) {
  parallel_chunks(p.count, 16384, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += 4) {
      const PhiloxBlock block = philox_block(p.stream, static_cast<uint64_t>(i / 4));
      for (int64_t j = 0; j < 4 && i + j < end; j++) p.y[i + j] = p.low + (p.high - p.low) * uniform_of(block.v[j]);
    }
  });
}

void random_normal(const RandomParams& p) {
  parallel_chunks(p.count, 16384, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += 4) {
      const PhiloxBlock block = philox_block(p.stream, static_cast<uint64_t>(i / 4));
      float normals[4];
      normals_of(block.v[0], block.v[1], &normals[0], &normals[1]);
      normals_of(block.v[2], block.v[3], &normals[2], &normals[3]);
      for (int64_t j = 0; j < 4 && i + j < end; j++) p.y[i + j] = normals[j];
    }
  });
}

}  // namespace noisewright::NOISEWRIGHT_TARGET

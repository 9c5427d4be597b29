// Nothing is read. Random numbers: two Philox blocks for the eight elements of a thread.
#include "cuda/elementwise.cuh"
#include "ops/create/create.h"

namespace noisewright::cuda {

namespace {

template <class T>
__device__ inline uint64_t bits_of(float value) {
  T element;
  gpu::store(&element, value);
  return element.bits;
}

// Eight bytes of repeated elements.
__device__ inline uint64_t pattern_of(const FillParams& p) {
  switch (p.dtype) {
    case DType::kFloat32:
      return __float_as_uint(static_cast<float>(p.value)) * 0x100000001ull;
    case DType::kBFloat16:
      return bits_of<bfloat16>(static_cast<float>(p.value)) * 0x1000100010001ull;
    case DType::kFloat16:
      return bits_of<float16>(static_cast<float>(p.value)) * 0x1000100010001ull;
    case DType::kUint8:
      return static_cast<uint8_t>(p.value) * 0x101010101010101ull;
    case DType::kInt8:
      return static_cast<uint8_t>(static_cast<int8_t>(p.value)) * 0x101010101010101ull;
    case DType::kInt32:
      return static_cast<uint32_t>(static_cast<int32_t>(p.value)) * 0x100000001ull;
    case DType::kInt64:
      return static_cast<uint64_t>(static_cast<int64_t>(p.value));
    case DType::kBool:
      return p.value != 0 ? 0x101010101010101ull : 0;
    case DType::kFloat8E4M3:
      return bits_of<float8_e4m3fn>(static_cast<float>(p.value)) * 0x101010101010101ull;
  }
  return 0;
}

// A thread writes 16 bytes of y, which begins a buffer.
__device__ inline void fill(const FillParams& p, int64_t bytes) {
  const int64_t at = (int64_t{blockIdx.x} * kElementThreads + threadIdx.x) * 16;
  if (at >= bytes) return;
  const uint64_t pattern = pattern_of(p);
  char* y = static_cast<char*>(p.y) + at;
  if (at + 16 <= bytes) {
    const auto low = static_cast<uint32_t>(pattern), high = static_cast<uint32_t>(pattern >> 32);
    gpu::store_16(y, {{low, high, low, high}});
  } else {
    for (int k = 0; at + k < bytes; k++) y[k] = static_cast<char>(pattern >> (k % 8 * 8));
  }
}

__device__ inline void uniform(const RandomParams& p, bool wide) {
  const int64_t i = gpu::first_element(), left = p.count - i;
  if (left <= 0) return;
  gpu::Eight y;
  for (int half = 0; half < 2; half++) {
    const PhiloxBlock block = philox_block(p.stream, static_cast<uint64_t>(i / 4 + half));
    for (int k = 0; k < 4; k++) y.v[4 * half + k] = p.low + (p.high - p.low) * uniform_of(block.v[k]);
  }
  gpu::store_eight(p.y + i, y, wide, left);
}

__device__ inline void normal(const RandomParams& p, bool wide) {
  const int64_t i = gpu::first_element(), left = p.count - i;
  if (left <= 0) return;
  gpu::Eight y;
  for (int half = 0; half < 2; half++) {
    const PhiloxBlock block = philox_block(p.stream, static_cast<uint64_t>(i / 4 + half));
    float* v = y.v + 4 * half;
    normals_of(block.v[0], block.v[1], v, v + 1);
    normals_of(block.v[2], block.v[3], v + 2, v + 3);
  }
  gpu::store_eight(p.y + i, y, wide, left);
}

}  // namespace

extern "C" __global__ void __launch_bounds__(kElementThreads) fill_kernel(FillParams p, int64_t bytes) {
  fill(p, bytes);
}
KERNEL(fill_kernel);
extern "C" __global__ void __launch_bounds__(kElementThreads) random_uniform_kernel(RandomParams p, bool wide) {
  uniform(p, wide);
}
KERNEL(random_uniform_kernel);
extern "C" __global__ void __launch_bounds__(kElementThreads) random_normal_kernel(RandomParams p, bool wide) {
  normal(p, wide);
}
KERNEL(random_normal_kernel);

}  // namespace noisewright::cuda

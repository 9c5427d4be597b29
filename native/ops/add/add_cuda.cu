// Memory bound, as on the CPU. Where b runs alongside a, a thread moves eight neighbours, 16 bytes at an access;
// elsewhere it computes one element and finds b's by dividing. The operation is the same for all threads, so choosing
// it costs nothing.
#include "ops/add/add_cuda.h"

#include "cuda/elementwise.cuh"
#include "ops/add/add.h"

namespace noisewright::cuda {

namespace {

__device__ inline float combine(BinaryOp op, float a, float b) {
  switch (op) {
    case BinaryOp::kAdd:
      return a + b;
    case BinaryOp::kSub:
      return a - b;
    case BinaryOp::kMul:
      return a * b;
    default:
      return a / b;
  }
}

template <class T, class B>
__device__ inline void add_flat(const AddParams& p) {
  const int64_t count = p.shape[4];
  const int64_t i = (int64_t{blockIdx.x} * kAddThreads + threadIdx.x) * kAddPerThread;
  if (i >= count) return;
  gpu::Eight a = gpu::load_eight(static_cast<const T*>(p.a) + i, true, count - i);
  const gpu::Eight b = gpu::load_eight(static_cast<const B*>(p.b) + i, true, count - i);
  for (int k = 0; k < 8; k++) a.v[k] = combine(p.op, a.v[k], b.v[k]);
  gpu::store_eight(static_cast<T*>(p.y) + i, a, true, count - i);
}

template <class T, class B>
__device__ inline void add_broadcast(const AddParams& p) {
  const int64_t i = int64_t{blockIdx.x} * kAddThreads + threadIdx.x;
  int64_t rest = i, at = 0;
  for (int axis = 4; axis > 0; axis--) {
    at += rest % p.shape[axis] * p.b_strides[axis];
    rest /= p.shape[axis];
  }
  if (rest >= p.shape[0]) return;
  at += rest * p.b_strides[0];
  const float a = gpu::load(static_cast<const T*>(p.a) + i), b = gpu::load(static_cast<const B*>(p.b) + at);
  gpu::store(static_cast<T*>(p.y) + i, combine(p.op, a, b));
}

}  // namespace

#define ADD_KERNEL(name, type, T, B)                                                                               \
  extern "C" __global__ void __launch_bounds__(kAddThreads) name##_##type##_kernel(AddParams p) { name<T, B>(p); } \
  KERNEL(name##_##type##_kernel)
#define ADD_KERNELS(type, T, B)     \
  ADD_KERNEL(add_flat, type, T, B); \
  ADD_KERNEL(add_broadcast, type, T, B)

ADD_KERNELS(f32_f32, float, float);
ADD_KERNELS(f32_bf16, float, bfloat16);
ADD_KERNELS(f32_f16, float, float16);
ADD_KERNELS(bf16_f32, bfloat16, float);
ADD_KERNELS(bf16_bf16, bfloat16, bfloat16);
ADD_KERNELS(bf16_f16, bfloat16, float16);
ADD_KERNELS(f16_f32, float16, float);
ADD_KERNELS(f16_bf16, float16, bfloat16);
ADD_KERNELS(f16_f16, float16, float16);

}  // namespace noisewright::cuda

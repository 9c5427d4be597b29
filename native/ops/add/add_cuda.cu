// Memory bound, as on the CPU. Where b runs alongside a, a thread moves four neighbours with one access to each tensor;
// elsewhere it computes one element and finds b's by dividing. The operation is the same for all threads, so choosing
// it costs nothing.
#include "ops/add/add_cuda.h"

#include "cuda/gpu.h"
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
  const T* a = static_cast<const T*>(p.a) + i;
  const B* b = static_cast<const B*>(p.b) + i;
  T* y = static_cast<T*>(p.y) + i;
  if (i + kAddPerThread <= count) {
    const gpu::Four x = gpu::load4(a), z = gpu::load4(b);
    gpu::Four sum;
    for (int k = 0; k < 4; k++) sum.v[k] = combine(p.op, x.v[k], z.v[k]);
    gpu::store4(y, sum);
  } else {
    for (int k = 0; i + k < count; k++) gpu::store(y + k, combine(p.op, gpu::load(a + k), gpu::load(b + k)));
  }
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

#define ADD_KERNELS(suffix, T, B)                                                                     \
  extern "C" __global__ void add_flat_##suffix##_kernel(AddParams p) { add_flat<T, B>(p); }           \
  KERNEL(add_flat_##suffix##_kernel);                                                                 \
  extern "C" __global__ void add_broadcast_##suffix##_kernel(AddParams p) { add_broadcast<T, B>(p); } \
  KERNEL(add_broadcast_##suffix##_kernel)

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

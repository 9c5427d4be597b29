// Kernels that are wrong on purpose, and two that are right: what the emulation must find. test/cuda/emulation.test.ts
// runs each in place of the addition of two vectors of 1024 float32: one block of 256 threads, its arguments and its
// memory. Never compiled for a GPU.
#include "cuda/gpu.h"
#include "ops/add/add.h"

namespace noisewright::emulation {

namespace {

constexpr unsigned kThreads = 256;

const float* input(const AddParams& p) { return static_cast<const float*>(p.a); }
float* output(const AddParams& p) { return static_cast<float*>(p.y); }

__attribute__((noinline)) unsigned recurse(unsigned depth) {
  volatile unsigned char frame[1024];
  frame[0] = static_cast<unsigned char>(depth);
  return depth == 0 ? frame[0] : recurse(depth - 1) + frame[0];
}

}  // namespace

// Right: each block's values in reverse, through shared memory.
extern "C" void right_reversal(AddParams p) {
  SHARED(float, part, [kThreads]);
  part[threadIdx.x] = input(p)[threadIdx.x];
  __syncthreads();
  output(p)[threadIdx.x] = part[kThreads - 1 - threadIdx.x];
}
KERNEL(right_reversal);

extern "C" void missing_barrier(AddParams p) {
  SHARED(float, part, [kThreads]);
  part[threadIdx.x] = input(p)[threadIdx.x];
  output(p)[threadIdx.x] = part[kThreads - 1 - threadIdx.x];
}
KERNEL(missing_barrier);

extern "C" void divergent_barrier(AddParams) {
  if (threadIdx.x % 32 < 16)
    __syncthreads();
  else
    __syncthreads();
}
KERNEL(divergent_barrier);

// Half of the first warp waits for the other half, which waits for everybody.
extern "C" void deadlock(AddParams p) {
  float x = input(p)[threadIdx.x];
  if (threadIdx.x < 16) x = __shfl_xor_sync(gpu::kFullWarp, x, 1);
  __syncthreads();
  output(p)[threadIdx.x] = x;
}
KERNEL(deadlock);

extern "C" void mask_with_ended_lane(AddParams p) {
  if (threadIdx.x % 32 == 7) return;
  output(p)[threadIdx.x] = __shfl_xor_sync(gpu::kFullWarp, input(p)[threadIdx.x], 1);
}
KERNEL(mask_with_ended_lane);

extern "C" void mask_without_caller(AddParams p) {
  output(p)[threadIdx.x] = __shfl_xor_sync(0xFFFFu, input(p)[threadIdx.x], 1);
}
KERNEL(mask_without_caller);

extern "C" void divergent_warp_operations(AddParams p) {
  const float x = input(p)[threadIdx.x];
  if (threadIdx.x % 2)
    output(p)[threadIdx.x] = __shfl_xor_sync(gpu::kFullWarp, x, 1);
  else
    output(p)[threadIdx.x] = __shfl_xor_sync(gpu::kFullWarp, x, 2);
}
KERNEL(divergent_warp_operations);

// Right: 16 bytes for each of 64 threads, without waiting.
extern "C" void right_async_copy(AddParams p) {
  DYN_SHARED(float, unused);
  static_cast<void>(unused);
  SHARED(float, part, [kThreads]);
  if (threadIdx.x < 64) gpu::copy_async_16(part + 4 * threadIdx.x, input(p) + 4 * threadIdx.x);
  gpu::commit_copies();
  gpu::wait_for_copies<0>();
  __syncthreads();
  output(p)[threadIdx.x] = part[threadIdx.x];
}
KERNEL(right_async_copy);

extern "C" void forgotten_wait(AddParams p) {
  SHARED(float, part, [kThreads]);
  if (threadIdx.x < 64) gpu::copy_async_16(part + 4 * threadIdx.x, input(p) + 4 * threadIdx.x);
  gpu::commit_copies();
  __syncthreads();
  output(p)[threadIdx.x] = part[threadIdx.x];
}
KERNEL(forgotten_wait);

extern "C" void shared_overrun(AddParams p) {
  SHARED(float, part, [kThreads]);
  part[threadIdx.x + 1] = input(p)[threadIdx.x];
}
KERNEL(shared_overrun);

extern "C" void write_past_end(AddParams p) { output(p)[4 * threadIdx.x + 4] = 1; }
KERNEL(write_past_end);

extern "C" void read_null(AddParams p) { output(p)[threadIdx.x] = static_cast<const float*>(nullptr)[threadIdx.x]; }
KERNEL(read_null);

extern "C" void stack_overflow(AddParams p) { output(p)[threadIdx.x] = static_cast<float>(recurse(1000)); }
KERNEL(stack_overflow);

}  // namespace noisewright::emulation

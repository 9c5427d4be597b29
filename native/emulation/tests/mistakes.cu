// Kernels that are wrong on purpose, and three that are right: what the emulation must find.
// test/cuda/emulation.test.ts runs each in place of the addition of two vectors of 1024 float32: one block of 256
// threads, its arguments and its memory. Never compiled for a GPU.
#include "cuda/mma.h"
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

// Right: the product of A [16, 16], which counts from 0, and a B [16, 8] that takes column n + 1 of it to column n.
extern "C" void right_product(AddParams p) {
  SHARED(bfloat16, a, [16 * 16]);
  SHARED(bfloat16, b, [16 * 8]);
  if (threadIdx.x >= 32) return;
  const unsigned lane = threadIdx.x, g = lane / 4, t = lane % 4;
  for (unsigned i = lane; i < 256; i += 32) gpu::store(a + i, input(p)[i]);
  for (unsigned i = lane; i < 128; i += 32) gpu::store(b + i, i / 8 == i % 8 + 1 ? 1.0f : 0.0f);
  __syncwarp();
  const gpu::FragmentA x = gpu::load_matrices<false>(a + lane % 16 * 16 + lane / 16 * 8);
  const gpu::FragmentA y = gpu::load_matrices<true>(b + lane % 16 * 8);
  gpu::Sums sums{};
  gpu::multiply_add<bfloat16>(sums, x, {{y.word[0], y.word[1]}});
  for (unsigned i = 0; i < 4; i++) output(p)[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = sums.v[i];
}
KERNEL(right_product);

extern "C" void matrix_of_odd_rows(AddParams p) {
  SHARED(float, part, [kThreads]);
  output(p)[threadIdx.x] = static_cast<float>(gpu::load_matrices<false>(part + threadIdx.x % 32).word[0]);
}
KERNEL(matrix_of_odd_rows);

extern "C" void copy_to_global(AddParams p) { gpu::copy_async_16(output(p) + 4 * threadIdx.x, input(p)); }
KERNEL(copy_to_global);

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

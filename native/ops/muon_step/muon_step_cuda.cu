// What surrounds the products of Muon's iteration, memory bound: a thread block takes 16384 elements of one matrix,
// four neighbours to a thread at a time. When the norm of the gradients is not finite the iteration runs on what memory
// holds, and nothing is kept of it.
#include "ops/muon_step/muon_step_cuda.h"

#include "cuda/reduce.cuh"
#include "cuda/stepped_param.cuh"

namespace noisewright::cuda {

namespace {

__device__ inline bool may_step(const MuonStepParams& p) { return !p.clip || p.clip[0] < gpu::infinity(); }

__device__ inline float rounded(const float*, float x) { return x; }
__device__ inline float rounded(const bfloat16*, float x) {
  bfloat16 stored;
  gpu::store(&stored, x);
  return gpu::load(&stored);
}

// body(i, left): four neighbours of this block's matrix from i on.
template <class Body>
__device__ inline void for_fours(const MuonStepEntry& e, Body&& body) {
  const int64_t begin = blockIdx.x * kMuonBlock, end = begin + kMuonBlock < e.count() ? begin + kMuonBlock : e.count();
  for (int64_t i = begin + threadIdx.x * 4; i < end; i += kMuonThreads * 4) body(i, end - i);
}

template <class T>
__device__ inline T* matrix_of(const MuonBatch& batch, const MuonStepEntry& e) {
  return static_cast<T*>(batch.matrices) + blockIdx.y * e.count();
}

__device__ inline bool aligned(const void* a, const void* b, const void* c) {
  return (reinterpret_cast<uintptr_t>(a) | reinterpret_cast<uintptr_t>(b) | reinterpret_cast<uintptr_t>(c)) % 16 == 0;
}

// The new momentum, the matrix that is to become orthogonal, and its squares.
template <class T>
__device__ inline void momentum(const MuonStepParams& p, const MuonBatch& batch) {
  SHARED(double, part, [gpu::kWarpSize]);
  if (!may_step(p)) return;
  const MuonStepEntry& e = p.entries[blockIdx.y];
  T* x = matrix_of<T>(batch, e);
  const bool wide = aligned(e.gradient, e.momentum, x), nesterov = e.k[kMuonNesterov] != 0.0f;
  const float scale = p.clip ? p.clip[1] : 1.0f, keep = e.k[kMuonKeep], rest = e.k[kMuonRest];
  double total = 0.0;
  for_fours(e, [&](int64_t i, int64_t left) {
    const gpu::Four g = gpu::load_four(e.gradient + i, wide, left);
    gpu::Four m = gpu::load_four(e.momentum + i, wide, left), update{};
    float squares = 0.0f;
    for (int k = 0; k < 4; k++) {
      const float fresh = rest * (g.v[k] * scale);
      m.v[k] = fmaf(keep, m.v[k], fresh);
      update.v[k] = rounded(x, nesterov ? fmaf(keep, m.v[k], fresh) : m.v[k]);
      squares = fmaf(update.v[k], update.v[k], squares);  // zero where there is nothing
    }
    total += static_cast<double>(squares);
    gpu::store_four(e.momentum + i, m, wide, left);
    gpu::store_four(x + i, update, wide, left);
  });
  total = gpu::reduce_block<gpu::Sum>(total, part);
  if (threadIdx.x == 0) batch.sums[int64_t{blockIdx.y} * gridDim.x + blockIdx.x] = total;
}

// The matrix divided by its norm.
template <class T>
__device__ inline void normalize(const MuonStepParams& p, const MuonBatch& batch) {
  SHARED(double, part, [gpu::kWarpSize]);
  if (!may_step(p)) return;
  const MuonStepEntry& e = p.entries[blockIdx.y];
  const double* sums = batch.sums + int64_t{blockIdx.y} * gridDim.x;
  double total = 0.0;
  for (int64_t i = threadIdx.x; i < gridDim.x; i += kMuonThreads) total += sums[i];
  total = gpu::reduce_block<gpu::Sum>(total, part);
  T* x = matrix_of<T>(batch, e);
  const float norm = rounded(x, static_cast<float>(sqrt(total) + 1e-7));
  const bool wide = aligned(x, nullptr, nullptr);
  for_fours(e, [&](int64_t i, int64_t left) {
    gpu::Four values = gpu::load_four(x + i, wide, left);
    for (float& value : values.v) value = value / norm;
    gpu::store_four(x + i, values, wide, left);
  });
}

template <class T>
__device__ inline void muon_add(const MuonSum& s, bool wide) {
  const int64_t i = gpu::first_element(), left = s.count - i;
  if (left <= 0) return;
  gpu::Eight x = gpu::load_eight(static_cast<const T*>(s.x) + i, wide, left);
  for (float& value : x.v) value = value * s.factor;
  if (s.z) {
    const gpu::Eight z = gpu::load_eight(static_cast<const T*>(s.z) + i, wide, left);
    for (int k = 0; k < 8; k++) x.v[k] = rounded(static_cast<const T*>(s.z), x.v[k]) + z.v[k];
  }
  gpu::store_eight(static_cast<T*>(s.y) + i, x, wide, left);
}

template <class T>
__device__ inline void apply(const MuonStepParams& p, const MuonBatch& batch) {
  if (!may_step(p)) return;
  const MuonStepEntry& e = p.entries[blockIdx.y];
  const T* x = matrix_of<T>(batch, e);
  const bool wide = aligned(x, e.param, e.copy);
  const float decay = e.k[kMuonDecay], rate = e.k[kMuonRate];
  for_fours(e, [&](int64_t i, int64_t left) {
    const gpu::Four update = gpu::load_four(x + i, wide, left);
    gpu::Four param = gpu::load_params(e, i, wide, left);
    for (int k = 0; k < 4; k++) param.v[k] = fmaf(-rate, update.v[k], param.v[k] * decay);
    gpu::store_params(p, e, i, param, wide, left);
  });
}

}  // namespace

#define MUON_KERNEL(name, type, T)                                       \
  extern "C" __global__ void __launch_bounds__(kMuonThreads)             \
      muon_##name##_##type##_kernel(MuonStepParams p, MuonBatch batch) { \
    name<T>(p, batch);                                                   \
  }                                                                      \
  KERNEL(muon_##name##_##type##_kernel)
MUON_KERNEL(momentum, f32, float);
MUON_KERNEL(momentum, bf16, bfloat16);
MUON_KERNEL(normalize, f32, float);
MUON_KERNEL(normalize, bf16, bfloat16);
MUON_KERNEL(apply, f32, float);
MUON_KERNEL(apply, bf16, bfloat16);
FLOAT_KERNEL(muon_add, f32, float, MuonSum);
FLOAT_KERNEL(muon_add, bf16, bfloat16, MuonSum);

}  // namespace noisewright::cuda

// Memory bound, like the CPU kernel, whose arithmetic this repeats operation by operation. A thread block has one
// thread for each element of a block of 256 and works through an eighth of a task; the tables of the 8-bit maps wait in
// shared memory (4 KiB). The nearest code is found by bisection over the midpoints.
#include "ops/adam_w/adam_w_cuda.h"

#include "cuda/gpu.h"
#include "cuda/reduce.cuh"
#include "ops/adam_w/adam_w.h"

namespace noisewright::cuda {

namespace {

__device__ inline float infinity() { return __uint_as_float(0x7F800000u); }

// One element: m and v are replaced, the new parameter returned.
__device__ inline float update(const AdamWParams& p, const AdamWEntry& e, float scale, float param, float raw, float& m,
                               float& v) {
  const float g = raw * scale;
  m = fmaf(e.beta1, m, (1.0f - e.beta1) * g);
  v = fmaf(e.beta2, v, (1.0f - e.beta2) * g * g);
  const float start = p.decay_after ? param : param * e.decay;
  const float stepped = fmaf(-e.step_size, m / (sqrtf(v) + e.eps), start);
  const float next = p.decay_after ? stepped * e.decay : stepped;
  if (!p.skip_invalid || fabsf(raw) < infinity()) return next;
  m = v = 0.0f;
  return param;
}

// The nearest code of u in [0, 1]; exact midpoints go to the even code. Larger numbers and NaN saturate.
__device__ inline int magnitude_code(const float* midpoints, float u) {
  int code = 0;  // midpoints below u
  for (int step = 128; step > 0; step /= 2)
    if (!(u <= midpoints[code + step - 1])) code += step;
  return code < 255 && u == midpoints[code] ? code + (code & 1) : code;
}

// The values of the signed map mirror each other: code 254 - k holds the negative of code k, apart from 255. A negative
// number never becomes zero.
__device__ inline uint8_t signed_code(const float* midpoints, float x) {
  const int code = magnitude_code(midpoints, fabsf(x)), mirrored = 254 - (code < 128 ? 128 : code);
  return static_cast<uint8_t>(__float_as_uint(x) >> 31 ? (mirrored < 0 ? 0 : mirrored) : code);
}

// The last entry whose tasks start at or before this one.
__device__ inline const AdamWEntry& entry_of(const AdamWParams& p, int64_t task) {
  int64_t low = 0, high = p.entry_count - 1;
  while (low < high) {
    const int64_t middle = (low + high + 1) / 2;
    if (p.entries[middle].first_task <= task)
      low = middle;
    else
      high = middle - 1;
  }
  return p.entries[low];
}

}  // namespace

extern "C" __global__ void __launch_bounds__(kAdamWThreads)
    adam_w_step_kernel(AdamWParams p, const AdamWTables* tables) {
  SHARED(AdamWTables, table, [1]);
  SHARED(float, part, [gpu::kWarpSize]);
  if (p.clip && !(p.clip[0] < infinity())) return;
  const int64_t task = blockIdx.x;
  const AdamWEntry& e = entry_of(p, task);
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t blocks_of_task = kAdamWTask / kQuantizationBlock / kAdamWSlices;
  const int64_t begin = (task - e.first_task) * kAdamWTask + blockIdx.y * blocks_of_task * kQuantizationBlock;
  if (begin >= e.count) return;
  if (e.absmax1) {
    table[0].signed_value[thread] = tables->signed_value[thread];
    table[0].signed_midpoint[thread] = tables->signed_midpoint[thread];
    table[0].unsigned_value[thread] = tables->unsigned_value[thread];
    table[0].unsigned_midpoint[thread] = tables->unsigned_midpoint[thread];
    __syncthreads();
  }
  const float scale = p.clip ? p.clip[1] : 1.0f;
  auto *codes1 = static_cast<uint8_t*>(e.state1), *codes2 = static_cast<uint8_t*>(e.state2);
  auto *state1 = static_cast<float*>(e.state1), *state2 = static_cast<float*>(e.state2);
  for (int64_t k = 0; k < blocks_of_task && begin + k * kQuantizationBlock < e.count; k++) {
    const int64_t block = begin / kQuantizationBlock + k, i = begin + k * kQuantizationBlock + thread;
    const bool exists = i < e.count;
    float m = 0.0f, v = 0.0f;
    if (exists) {
      m = e.absmax1 ? table[0].signed_value[codes1[i]] * e.absmax1[block] : state1[i];
      v = e.absmax1 ? table[0].unsigned_value[codes2[i]] * e.absmax2[block] : state2[i];
      const float param = update(p, e, scale, e.param[i], e.gradient[i], m, v);
      e.param[i] = param;
      if (e.copy) gpu::store(e.copy + i, param);
    }
    if (!e.absmax1) {
      if (exists) state1[i] = m, state2[i] = v;
      continue;
    }
    const float largest1 = gpu::reduce_block<gpu::Max>(fabsf(m), part), largest2 = gpu::reduce_block<gpu::Max>(v, part);
    if (exists) {
      codes1[i] = largest1 == 0.0f ? uint8_t{127} : signed_code(table[0].signed_midpoint, m / largest1);
      codes2[i] = largest2 == 0.0f ? uint8_t{0}
                                   : static_cast<uint8_t>(magnitude_code(table[0].unsigned_midpoint, v / largest2));
    }
    if (thread == 0) {
      e.absmax1[block] = largest1;
      e.absmax2[block] = largest2;
    }
  }
}
KERNEL(adam_w_step_kernel);

}  // namespace noisewright::cuda

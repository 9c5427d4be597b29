// Formulas in group_norm.h; the passes are those of the CPU kernel. Forward: a warp takes one group of a chunk of
// pixels, sweeps it twice (the second time from L1: a chunk is about 1024 elements) and leaves its mean and squared
// deviations; a warp for each group joins the chunks in double precision; the last pass computes y element by element.
// Backward: a thread for each channel sums dz and dz xhat over a chunk; from those sums everything but dx follows; the
// last pass computes dx. x is read twice either way, and no sum is shared between blocks, so results do not depend on
// the order in which blocks run.
//
// Arithmetic, not measured on a GPU. Forward: 6 bytes an element of 16 bits, of which the floor is 4 (x once, which
// would need a whole sample's group in one block); 12 operations and, with SiLU, one e^x. 320 channels of 64 x 64
// pixels are 7.9 MB, 5 us at 1.5 TB/s, and 2.6 MB of x stay in the second-level cache between the passes. The first
// pass reads 2 bytes a lane: a pixel's group is 10 channels (20 bytes) there, and the block's eight warps take eight
// neighbouring groups, so that each line is used whole. Expected of the memory bandwidth: 50 to 60 % in the first pass,
// 80 to 90 % in the last, whose eight neighbours a thread are accesses of 16 bytes. Backward: 10 bytes (floor 6), 20
// operations; 50 to 60 % where a thread walks down a channel (32 lanes: 64 bytes), 80 to 90 % in the last pass.
#include "ops/group_norm/group_norm_cuda.h"

#include "cuda/elementwise.cuh"
#include "cuda/reduce.cuh"
#include "ops/group_norm/group_norm.h"

namespace noisewright::cuda {

namespace {

struct Pixels {
  int first, count;
};

__device__ inline Pixels pixels_of_chunk(const GroupNormScratch& s, int chunk, int64_t pixels) {
  const int first = chunk * s.chunk, rest = static_cast<int>(pixels) - first;
  return {first, rest < s.chunk ? rest : s.chunk};
}

// The warp's group, counted over all samples where blockIdx.y is 0, else within the sample.
__device__ inline int64_t group_of_warp(unsigned block) {
  return int64_t{block} * kNormWarps + threadIdx.x / gpu::kWarpSize;
}

__device__ inline float sigmoid(float z) { return 1.0f / (1.0f + expf(-z)); }

// ----------------------------------------------------------------------------------------------------------------------------
// forward

template <class T>
__device__ inline void partial(const GroupNormParams& p, const GroupNormScratch& s) {
  const int64_t group = group_of_warp(blockIdx.y), n = blockIdx.z;
  if (group >= p.groups) return;
  const Pixels pixels = pixels_of_chunk(s, static_cast<int>(blockIdx.x), p.pixels);
  const int width = static_cast<int>(p.c / p.groups), count = pixels.count * width;
  const T* x = static_cast<const T*>(p.x) + (n * p.pixels + pixels.first) * p.c + group * width;
  const int lane = static_cast<int>(threadIdx.x % gpu::kWarpSize);
  float sum = 0.0f, deviations = 0.0f, squares = 0.0f;
  for (int e = lane; e < count; e += gpu::kWarpSize) sum += gpu::load(x + e / width * p.c + e % width);
  const float centre = gpu::reduce_warp<gpu::Sum>(sum) / static_cast<float>(count);
  for (int e = lane; e < count; e += gpu::kWarpSize) {
    const float d = gpu::load(x + e / width * p.c + e % width) - centre;
    deviations += d;
    squares = fmaf(d, d, squares);
  }
  deviations = gpu::reduce_warp<gpu::Sum>(deviations);
  squares = gpu::reduce_warp<gpu::Sum>(squares);
  if (lane != 0) return;
  float* out = s.partials + ((n * s.chunks + blockIdx.x) * p.groups + group) * 3;
  out[0] = centre;
  out[1] = deviations;
  out[2] = squares;
}

// mean and rstd of a group from its chunks (Chan, Golub and LeVeque's update, over all chunks at once).
__device__ inline void join(const GroupNormParams& p, const GroupNormScratch& s) {
  const int64_t at = group_of_warp(blockIdx.x);
  if (at >= p.n * p.groups) return;
  const int64_t n = at / p.groups, group = at % p.groups;
  const double width = static_cast<double>(p.c / p.groups), count = width * static_cast<double>(p.pixels);
  const int lane = static_cast<int>(threadIdx.x % gpu::kWarpSize);
  const auto chunk = [&](int k) { return s.partials + ((n * s.chunks + k) * p.groups + group) * 3; };
  const auto elements = [&](int k) { return width * pixels_of_chunk(s, k, p.pixels).count; };
  double total = 0.0, squares = 0.0;
  for (int k = lane; k < s.chunks; k += gpu::kWarpSize)
    total += elements(k) * static_cast<double>(chunk(k)[0]) + static_cast<double>(chunk(k)[1]);
  const double mean = gpu::reduce_warp<gpu::Sum>(total) / count;
  for (int k = lane; k < s.chunks; k += gpu::kWarpSize) {
    const double shift = static_cast<double>(chunk(k)[0]) - mean;
    squares +=
        static_cast<double>(chunk(k)[2]) + shift * (2.0 * static_cast<double>(chunk(k)[1]) + elements(k) * shift);
  }
  const double variance = gpu::reduce_warp<gpu::Sum>(squares) / count;
  if (lane != 0) return;
  p.mean[at] = static_cast<float>(mean);
  p.rstd[at] = static_cast<float>(1.0 / sqrt(variance + static_cast<double>(p.eps)));
  s.constants[at] = static_cast<float>(mean - static_cast<double>(p.mean[at]));  // matters when |mean| >> deviation
}

// Calls body(k, channel) for the elements first + k of a sample that one thread computes.
template <class Body>
__device__ inline void for_elements(unsigned first, unsigned count, unsigned channels, Body body) {
  unsigned channel = first % channels;
  for (unsigned k = 0; k < kNormPerThread && first + k < count; k++) {
    body(k, channel);
    if (++channel == channels) channel = 0;
  }
}

template <class T>
__device__ inline void apply(const GroupNormParams& p, const GroupNormScratch& s) {
  const unsigned count = static_cast<unsigned>(p.pixels * p.c), width = static_cast<unsigned>(p.c / p.groups);
  const unsigned first = (blockIdx.x * kNormThreads + threadIdx.x) * kNormPerThread;
  if (first >= count) return;
  const int64_t n = blockIdx.y, start = n * p.pixels * p.c + first;
  gpu::Eight x = gpu::load_eight(static_cast<const T*>(p.x) + start, s.wide, count - first);
  for_elements(first, count, static_cast<unsigned>(p.c), [&](unsigned k, unsigned channel) {
    const int64_t at = n * p.groups + channel / width;
    const float factor = p.rstd[at] * gpu::load_any(p.weight, p.weight_dtype, channel);
    const float offset = gpu::load_any(p.bias, p.bias_dtype, channel) - s.constants[at] * factor;
    const float z = fmaf(x.v[k] - p.mean[at], factor, offset);
    x.v[k] = p.silu ? z * sigmoid(z) : z;
  });
  gpu::store_eight(static_cast<T*>(p.y) + start, x, s.wide, count - first);
}

// The rows of group_norm.h for the channels of one sample.
__device__ inline void fill_rows(const GroupNormParams& p, const GroupNormScratch& s, float* rows) {
  const unsigned channel = blockIdx.x * kNormThreads + threadIdx.x, width = static_cast<unsigned>(p.c / p.groups);
  if (channel >= p.c) return;
  const int64_t at = channel / width, length = group_norm_row_length(p.c);
  const float factor = p.rstd[at] * gpu::load_any(p.weight, p.weight_dtype, channel);
  rows[channel] = p.mean[at];
  rows[length + channel] = factor;
  rows[2 * length + channel] = gpu::load_any(p.bias, p.bias_dtype, channel) - s.constants[at] * factor;
}

template <class T, class U>
__device__ inline void apply_rows(const GroupNormApplyParams& p, bool wide) {
  const unsigned count = static_cast<unsigned>(p.pixels * p.c);
  const unsigned first = (blockIdx.x * kNormThreads + threadIdx.x) * kNormPerThread;
  if (first >= count) return;
  const int64_t length = group_norm_row_length(p.c);
  gpu::Eight x = gpu::load_eight(static_cast<const T*>(p.x) + first, wide, count - first);
  for_elements(first, count, static_cast<unsigned>(p.c), [&](unsigned k, unsigned channel) {
    const float z = fmaf(x.v[k] - p.rows[channel], p.rows[length + channel], p.rows[2 * length + channel]);
    x.v[k] = p.silu ? z * sigmoid(z) : z;
  });
  gpu::store_eight(static_cast<U*>(p.y) + first, x, wide, count - first);
}

// ---------------------------------------------------------------------------------------------------------------------------
// backward

// dz = dL/d(weight xhat + bias), from dy and d = x - mean.
__device__ inline float before_silu(bool silu, float dy, float d, float factor, float bias) {
  if (!silu) return dy;
  const float z = fmaf(d, factor, bias), sig = sigmoid(z);
  return dy * (sig * fmaf(z, 1.0f - sig, 1.0f));
}

template <class T>
__device__ inline void backward_partial(const GroupNormBackwardParams& p, const GroupNormScratch& s) {
  const int64_t channel = int64_t{blockIdx.y} * kNormThreads + threadIdx.x, n = blockIdx.z;
  if (channel >= p.c) return;
  const Pixels pixels = pixels_of_chunk(s, static_cast<int>(blockIdx.x), p.pixels);
  const int64_t start = (n * p.pixels + pixels.first) * p.c + channel, at = n * p.groups + channel / (p.c / p.groups);
  const T *x = static_cast<const T*>(p.x) + start, *dy = static_cast<const T*>(p.dy) + start;
  const float mean = p.mean[at], rstd = p.rstd[at], factor = rstd * gpu::load_any(p.weight, p.weight_dtype, channel);
  const float bias = gpu::load_any(p.bias, p.bias_dtype, channel);
  float sum = 0.0f, products = 0.0f;
  for (int row = 0; row < pixels.count; row++) {
    const float d = gpu::load(x + row * p.c) - mean;
    const float dz = before_silu(p.silu, gpu::load(dy + row * p.c), d, factor, bias);
    sum += dz;
    products += dz * (d * rstd);
  }
  float* out = s.partials + (n * s.chunks + blockIdx.x) * 2 * p.c + channel;
  out[0] = sum;
  out[p.c] = products;
}

__device__ inline void backward_total(const GroupNormBackwardParams& p, const GroupNormScratch& s) {
  const int64_t i = int64_t{blockIdx.x} * kNormThreads + threadIdx.x, row = 2 * p.c;
  if (i >= p.n * row) return;
  const float* partials = s.partials + i / row * s.chunks * row + i % row;
  double sum = 0.0;
  for (int k = 0; k < s.chunks; k++) sum += static_cast<double>(partials[k * row]);
  s.totals[i] = static_cast<float>(sum);
}

__device__ inline void backward_parameters(const GroupNormBackwardParams& p, const GroupNormScratch& s) {
  const int64_t channel = int64_t{blockIdx.x} * kNormThreads + threadIdx.x;
  if (channel >= p.c) return;
  double sum = 0.0, products = 0.0;
  for (int64_t n = 0; n < p.n; n++) {
    sum += static_cast<double>(s.totals[n * 2 * p.c + channel]);
    products += static_cast<double>(s.totals[(n * 2 + 1) * p.c + channel]);
  }
  if (p.dbias) p.dbias[channel] = static_cast<float>(sum);
  if (p.dweight) p.dweight[channel] = static_cast<float>(products);
}

// dx = factor dz - offset - (x - mean) slope: what is common to a group.
__device__ inline void backward_group(const GroupNormBackwardParams& p, const GroupNormScratch& s) {
  const int64_t at = group_of_warp(blockIdx.x);
  if (at >= p.n * p.groups) return;
  const int64_t n = at / p.groups, group = at % p.groups, width = p.c / p.groups;
  const int lane = static_cast<int>(threadIdx.x % gpu::kWarpSize);
  const float *total = s.totals + n * 2 * p.c, *total_product = total + p.c;
  double a = 0.0, b = 0.0;
  for (int64_t i = group * width + lane; i < (group + 1) * width; i += gpu::kWarpSize) {
    const auto weight = static_cast<double>(gpu::load_any(p.weight, p.weight_dtype, i));
    a += weight * static_cast<double>(total[i]);
    b += weight * static_cast<double>(total_product[i]);
  }
  a = gpu::reduce_warp<gpu::Sum>(a);
  b = gpu::reduce_warp<gpu::Sum>(b);
  if (lane != 0) return;
  const double rstd = static_cast<double>(p.rstd[at]), scale = rstd / static_cast<double>(p.pixels * width);
  s.constants[2 * at] = static_cast<float>(scale * a);
  s.constants[2 * at + 1] = static_cast<float>(scale * rstd * b);
}

template <class T>
__device__ inline void backward_input(const GroupNormBackwardParams& p, const GroupNormScratch& s) {
  const unsigned count = static_cast<unsigned>(p.pixels * p.c), width = static_cast<unsigned>(p.c / p.groups);
  const unsigned first = (blockIdx.x * kNormThreads + threadIdx.x) * kNormPerThread;
  if (first >= count) return;
  const int64_t n = blockIdx.y, start = n * p.pixels * p.c + first;
  const gpu::Eight x = gpu::load_eight(static_cast<const T*>(p.x) + start, s.wide, count - first);
  gpu::Eight dx = gpu::load_eight(static_cast<const T*>(p.dy) + start, s.wide, count - first);
  for_elements(first, count, static_cast<unsigned>(p.c), [&](unsigned k, unsigned channel) {
    const int64_t at = n * p.groups + channel / width;
    const float factor = p.rstd[at] * gpu::load_any(p.weight, p.weight_dtype, channel), d = x.v[k] - p.mean[at];
    const float dz = before_silu(p.silu, dx.v[k], d, factor, gpu::load_any(p.bias, p.bias_dtype, channel));
    dx.v[k] = fmaf(-d, s.constants[2 * at + 1], fmaf(dz, factor, -s.constants[2 * at]));
  });
  gpu::store_eight(static_cast<T*>(p.dx) + start, dx, s.wide, count - first);
}

}  // namespace

#define FORWARD_KERNEL(name, call)                                                                                 \
  extern "C" __global__ void __launch_bounds__(kNormThreads) name(GroupNormParams p, GroupNormScratch s) { call; } \
  KERNEL(name)
#define BACKWARD_KERNEL(name, call)                                                                                \
  extern "C" __global__ void __launch_bounds__(kNormThreads) name(GroupNormBackwardParams p, GroupNormScratch s) { \
    call;                                                                                                          \
  }                                                                                                                \
  KERNEL(name)

FORWARD_KERNEL(group_norm_partial_f32_kernel, partial<float>(p, s));
FORWARD_KERNEL(group_norm_partial_bf16_kernel, partial<bfloat16>(p, s));
FORWARD_KERNEL(group_norm_partial_f16_kernel, partial<float16>(p, s));
FORWARD_KERNEL(group_norm_join_kernel, join(p, s));
FORWARD_KERNEL(group_norm_apply_f32_kernel, apply<float>(p, s));
FORWARD_KERNEL(group_norm_apply_bf16_kernel, apply<bfloat16>(p, s));
FORWARD_KERNEL(group_norm_apply_f16_kernel, apply<float16>(p, s));

extern "C" __global__ void __launch_bounds__(kNormThreads)
    group_norm_rows_kernel(GroupNormParams p, GroupNormScratch s, float* rows) {
  fill_rows(p, s, rows);
}
KERNEL(group_norm_rows_kernel);
#define APPLY_ROWS_KERNEL(types, T, U)                                            \
  extern "C" __global__ void __launch_bounds__(kNormThreads)                      \
      group_norm_apply_rows_##types##_kernel(GroupNormApplyParams p, bool wide) { \
    apply_rows<T, U>(p, wide);                                                    \
  }                                                                               \
  KERNEL(group_norm_apply_rows_##types##_kernel)
APPLY_ROWS_KERNEL(f32_f32, float, float);
APPLY_ROWS_KERNEL(bf16_bf16, bfloat16, bfloat16);
APPLY_ROWS_KERNEL(bf16_f32, bfloat16, float);
APPLY_ROWS_KERNEL(f16_f16, float16, float16);
APPLY_ROWS_KERNEL(f16_f32, float16, float);

BACKWARD_KERNEL(group_norm_backward_partial_f32_kernel, backward_partial<float>(p, s));
BACKWARD_KERNEL(group_norm_backward_partial_bf16_kernel, backward_partial<bfloat16>(p, s));
BACKWARD_KERNEL(group_norm_backward_partial_f16_kernel, backward_partial<float16>(p, s));
BACKWARD_KERNEL(group_norm_backward_total_kernel, backward_total(p, s));
BACKWARD_KERNEL(group_norm_backward_parameters_kernel, backward_parameters(p, s));
BACKWARD_KERNEL(group_norm_backward_group_kernel, backward_group(p, s));
BACKWARD_KERNEL(group_norm_backward_input_f32_kernel, backward_input<float>(p, s));
BACKWARD_KERNEL(group_norm_backward_input_bf16_kernel, backward_input<bfloat16>(p, s));
BACKWARD_KERNEL(group_norm_backward_input_f16_kernel, backward_input<float16>(p, s));

}  // namespace noisewright::cuda

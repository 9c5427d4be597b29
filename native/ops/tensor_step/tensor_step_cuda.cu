// Memory bound. Every pass over the tensors is a kernel, a thread block for each block of tensor_step.h: the next one
// needs statistics of whole tensors. Sums over rows and columns are float32 within a block, double beyond it; sums over
// a tensor are double from four neighbours on.
#include "ops/tensor_step/tensor_step_cuda.h"

#include "ops/tensor_step/tensor_walk.cuh"

namespace noisewright::cuda {

namespace {

__device__ inline bool may_step(const TensorStepParams& p) { return !p.clip || p.clip[0] < gpu::infinity(); }

__device__ inline gpu::Four gradient_at(const TensorStepParams& p, const Block& b, int64_t at, int64_t left) {
  gpu::Four g = gpu::load_four(b.e.gradient + at, b.wide, left);
  const float scale = p.clip ? p.clip[1] : 1.0f;
  for (float& x : g.v) x = x * scale;
  return g;
}

__device__ inline void store_new(const TensorStepParams& p, const Block& b, int64_t at, const gpu::Four& x,
                                 int64_t left) {
  if (b.fours) return gpu::store_params(p.rounding, b.e, at, x, b.wide, left);
  for (int k = 0; k < 4; k++)
    if (k < left) gpu::store_param(p.rounding, b.e, at + k, x.v[k]);
}

// Every thread calls it; sums [blocks, 2].
__device__ inline void store_sum(const TensorWork& w, int which, const ThreadSum& sum) {
  SHARED(double, part, [gpu::kWarpSize]);
  const double total = gpu::reduce_block<gpu::Sum>(sum.total, part);
  if (threadIdx.x == 0) w.sums[2 * int64_t{blockIdx.x} + which] = total;
}

// each(at, left, u) for the gradients of a block divided by their root mean squares.
template <class Each>
__device__ inline void for_normalized(const TensorStepParams& p, const Block& b, const TensorWork& w, Each&& each) {
  const auto scaled = [&](int64_t at, int64_t left, const gpu::Four& factor) {
    gpu::Four u = gradient_at(p, b, at, left);
    for (int k = 0; k < 4; k++) u.v[k] = u.v[k] * factor.v[k];
    each(at, left, u);
    return u;
  };
  if (b.e.outer != 0) {
    const Moments m = moments_of(b.e, w, false);
    walk<true, false>(b, m, m, scaled);
  } else {
    for_fours(b, [&](int64_t at, int64_t left) {
      gpu::Four factor = gpu::load_four(b.e.state[0] + at, b.wide, left);
      for (float& x : factor.v) x = inverse_root(x);
      scaled(at, left, factor);
    });
  }
}

// The first pass of AdaFactor and CAME: means of the squared gradient, and the parameter's squares.
__device__ inline void gather(const TensorStepParams& p, const TensorWork& w) {
  if (!may_step(p)) return;
  const Block b = this_block(p);
  const float* k = b.e.k;
  const bool sizes = p.rule == TensorRule::kAdaFactor;
  ThreadSum size;
  const auto square = [&](int64_t at, int64_t left, const gpu::Four&) {
    gpu::Four g = gradient_at(p, b, at, left);
    if (sizes) size.add_squares(gpu::load_params(b.e, at, b.wide, left), left);
    for (float& x : g.v) x = fmaf(x, x, k[2]);
    return g;
  };
  if (b.e.outer != 0) {
    const Moments m = moments_of(b.e, w, false);
    walk<false, true>(b, m, m, square);
  } else {
    for_fours(b, [&](int64_t at, int64_t left) {
      gpu::Four v = gpu::load_four(b.e.state[0] + at, b.wide, left);
      const gpu::Four fresh = square(at, left, v);
      for (int i = 0; i < 4; i++) v.v[i] = fmaf(k[0], v.v[i], k[1] * fresh.v[i]);
      gpu::store_four(b.e.state[0] + at, v, b.wide, left);
    });
  }
  store_sum(w, 1, size);
}

__device__ inline void finish(const TensorStepParams& p, const TensorWork& w, bool errors) {
  if (!may_step(p)) return;
  const Block b = this_block(p);
  if (b.e.outer != 0) finish_sheet(b, moments_of(b.e, w, errors));
}

// The squares of the normalised gradient.
__device__ inline void size_normalized(const TensorStepParams& p, const TensorWork& w) {
  if (!may_step(p)) return;
  ThreadSum squares;
  for_normalized(p, this_block(p), w, [&](int64_t, int64_t left, const gpu::Four& u) { squares.add_squares(u, left); });
  store_sum(w, 0, squares);
}

__device__ inline double clip_divisor(double rms, float threshold) {
  const double excess = rms / static_cast<double>(threshold);
  return excess > 1.0 || excess != excess ? excess : 1.0;  // NaN stays NaN
}

// What a step does to a tensor as a whole, from its blocks' sums; a thread block for each tensor.
__device__ inline void judge(const TensorStepParams& p, const TensorWork& w) {
  SHARED(double, part, [gpu::kWarpSize]);
  if (!may_step(p)) return;
  const TensorStepEntry &e = p.entries[blockIdx.x], &next = p.entries[blockIdx.x + 1];
  const bool sizes = p.rule == TensorRule::kAdaFactor;
  double first = 0.0, second = 0.0;
  for (int64_t i = e.first_block + threadIdx.x; i < next.first_block; i += kTensorThreads) {
    first += w.sums[2 * i];
    if (sizes) second += w.sums[2 * i + 1];
  }
  first = gpu::reduce_block<gpu::Sum>(first, part);
  second = gpu::reduce_block<gpu::Sum>(second, part);
  if (threadIdx.x != 0) return;
  const auto count = static_cast<double>(e.count);
  const double rms = ::sqrt(first / count), size = ::sqrt(second / count);
  float* result = w.results + 2 * int64_t{blockIdx.x};
  if (p.rule == TensorRule::kCame) {
    result[0] = static_cast<float>(1.0 / clip_divisor(rms, e.k[5]));
    return;
  }
  double rate = static_cast<double>(e.k[4]);
  if (p.rule == TensorRule::kAdaFactor) {
    const auto least = static_cast<double>(e.k[3]);
    if (e.k[5] != 0.0f) rate = rate * (size > least ? size : least);
    result[0] = static_cast<float>(rate / clip_divisor(rms, e.k[6]));
    result[1] = static_cast<float>(rate * static_cast<double>(e.k[9]));
  } else {
    rate = rate / clip_divisor(rms, 1.0f);
    result[0] = static_cast<float>(rate);
    result[1] = static_cast<float>(1.0 - rate * static_cast<double>(e.k[7]));
  }
  if (e.rate) *e.rate = static_cast<float>(rate);
}

__device__ inline void ada_factor(const TensorStepParams& p, const TensorWork& w) {
  if (!may_step(p)) return;
  const Block b = this_block(p);
  const float rate = w.results[2 * b.entry], decay = w.results[2 * b.entry + 1], beta = b.e.k[7], rest = b.e.k[8];
  float* moment = b.e.state[2];
  for_normalized(p, b, w, [&](int64_t at, int64_t left, gpu::Four u) {
    gpu::Four before{}, param = gpu::load_params(b.e, at, b.wide, left);
    if (moment) before = gpu::load_four(moment + at, b.wide, left);
    for (int k = 0; k < 4; k++) {
      u.v[k] = u.v[k] * rate;
      if (moment) u.v[k] = fmaf(beta, before.v[k], rest * u.v[k]);
      param.v[k] = fmaf(-decay, param.v[k], param.v[k]) - u.v[k];
    }
    if (moment) gpu::store_four(moment + at, u, b.wide, left);
    store_new(p, b, at, param, left);
  });
}

__device__ inline void came_apply(const TensorStepParams& p, const Block& b, int64_t at, int64_t left,
                                  const gpu::Four& update) {
  gpu::Four param = gpu::load_params(b.e, at, b.wide, left);
  const float rate = b.e.k[4], decay = b.e.k[4] * b.e.k[8];
  for (int k = 0; k < 4; k++) param.v[k] = fmaf(-rate, update.v[k], fmaf(-decay, param.v[k], param.v[k]));
  store_new(p, b, at, param, left);
}

// The moment, and the means of its squared error; tensors that are not factored are done with it.
__device__ inline void came_moment(const TensorStepParams& p, const TensorWork& w) {
  if (!may_step(p)) return;
  const Block b = this_block(p);
  const float share = w.results[2 * b.entry], eps = b.e.k[3], beta = b.e.k[6], rest = b.e.k[7];
  const auto step_moment = [&](int64_t at, int64_t left, const gpu::Four& u) {
    gpu::Four m = gpu::load_four(b.e.state[2] + at, b.wide, left);
    for (int k = 0; k < 4; k++) m.v[k] = fmaf(beta, m.v[k], rest * (u.v[k] * share));
    gpu::store_four(b.e.state[2] + at, m, b.wide, left);
    return m;
  };
  if (b.e.outer == 0) {
    for_normalized(p, b, w, [&](int64_t at, int64_t left, const gpu::Four& u) {
      came_apply(p, b, at, left, step_moment(at, left, u));
    });
    return;
  }
  walk<true, true>(b, moments_of(b.e, w, false), moments_of(b.e, w, true),
                   [&](int64_t at, int64_t left, const gpu::Four& factor) {
                     gpu::Four u = gradient_at(p, b, at, left);
                     for (int k = 0; k < 4; k++) u.v[k] = u.v[k] * factor.v[k];
                     const gpu::Four m = step_moment(at, left, u);
                     for (int k = 0; k < 4; k++) {
                       const float error = u.v[k] * share - m.v[k];
                       u.v[k] = fmaf(error, error, eps);
                     }
                     return u;
                   });
}

// The step of factored tensors along the moment, corrected by the means of its errors.
__device__ inline void came_correct(const TensorStepParams& p, const TensorWork& w) {
  if (!may_step(p)) return;
  const Block b = this_block(p);
  if (b.e.outer == 0) return;
  const Moments m = moments_of(b.e, w, true);
  walk<true, false>(b, m, m, [&](int64_t at, int64_t left, const gpu::Four& factor) {
    gpu::Four update = gpu::load_four(b.e.state[2] + at, b.wide, left);
    for (int k = 0; k < 4; k++) update.v[k] = update.v[k] * factor.v[k];
    came_apply(p, b, at, left, update);
    return update;
  });
}

__device__ inline void stable_moments(const TensorStepParams& p, const TensorWork& w) {
  if (!may_step(p)) return;
  const Block b = this_block(p);
  const float beta1 = b.e.k[0], rest1 = b.e.k[1], beta2 = b.e.k[2], rest2 = b.e.k[3], least = b.e.k[6];
  ThreadSum sum;
  for_fours(b, [&](int64_t at, int64_t left) {
    const gpu::Four g = gradient_at(p, b, at, left);
    gpu::Four m = gpu::load_four(b.e.state[0] + at, b.wide, left), v = gpu::load_four(b.e.state[1] + at, b.wide, left);
    float squares = 0.0f;
    for (int k = 0; k < 4; k++) {
      const float square = g.v[k] * g.v[k];
      m.v[k] = fmaf(beta1, m.v[k], rest1 * g.v[k]);
      v.v[k] = fmaf(beta2, v.v[k], rest2 * square);
      if (k < left) squares = squares + square / (v.v[k] > least ? v.v[k] : least);
    }
    sum.total += static_cast<double>(squares);
    gpu::store_four(b.e.state[0] + at, m, b.wide, left);
    gpu::store_four(b.e.state[1] + at, v, b.wide, left);
  });
  store_sum(w, 0, sum);
}

__device__ inline void stable_apply(const TensorStepParams& p, const TensorWork& w) {
  if (!may_step(p)) return;
  const Block b = this_block(p);
  const float rate = w.results[2 * b.entry], decay = w.results[2 * b.entry + 1], eps = b.e.k[5];
  for_fours(b, [&](int64_t at, int64_t left) {
    const gpu::Four m = gpu::load_four(b.e.state[0] + at, b.wide, left);
    const gpu::Four v = gpu::load_four(b.e.state[1] + at, b.wide, left);
    gpu::Four param = gpu::load_params(b.e, at, b.wide, left);
    for (int k = 0; k < 4; k++) param.v[k] = fmaf(-rate, m.v[k] / (sqrtf(v.v[k]) + eps), param.v[k] * decay);
    store_new(p, b, at, param, left);
  });
}

}  // namespace

#define TENSOR_KERNEL(name, body)                                 \
  extern "C" __global__ void __launch_bounds__(kTensorThreads, 2) \
      tensor_##name##_kernel(TensorStepParams p, TensorWork w) {  \
    body(p, w);                                                   \
  }                                                               \
  KERNEL(tensor_##name##_kernel)
TENSOR_KERNEL(gather, gather);
TENSOR_KERNEL(size, size_normalized);
TENSOR_KERNEL(judge, judge);
TENSOR_KERNEL(ada_factor, ada_factor);
TENSOR_KERNEL(came_moment, came_moment);
TENSOR_KERNEL(came_correct, came_correct);
TENSOR_KERNEL(stable_moments, stable_moments);
TENSOR_KERNEL(stable_apply, stable_apply);

extern "C" __global__ void __launch_bounds__(kTensorThreads, 2)
    tensor_finish_kernel(TensorStepParams p, TensorWork w, bool errors) {
  finish(p, w, errors);
}
KERNEL(tensor_finish_kernel);

}  // namespace noisewright::cuda

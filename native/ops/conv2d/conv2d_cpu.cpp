// Convolution as a matrix product whose left factor, rows of (tap, channel) for each pixel, is gathered while it is
// packed and never stored. Large 3x3 layers go through winograd_cpu.cpp instead.
#include "ops/conv2d/conv2d.h"

#include <type_traits>

#include "core/parallel.h"
#include "core/simd.h"
#include "ops/conv2d/winograd.h"
#include "ops/matmul/gemm.h"

namespace noisewright::NOISEWRIGHT_TARGET {
namespace {

constexpr int kMaxTaps = 64;  // along one axis

// A matrix [pixels of a grid, taps * channels] gathered from an image batch: for tap (i, j) of grid pixel (y, x) it
// holds the channels at (y * step + offset_y[i], x * step + offset_x[j]) >> shift, or zeros outside of [0, limit). With
// sum_pairs it holds the sum of the four pixels from there, as float32.
struct Gather {
  const char* data;
  DType dtype;
  int64_t h, w, channels;  // of the images
  int64_t grid_h, grid_w;
  int64_t limit_h, limit_w;
  int64_t step = 1;
  int shift = 0;
  bool sum_pairs = false;
  int taps_y = 0, taps_x = 0;
  int64_t offset_y[kMaxTaps], offset_x[kMaxTaps];

  const char* pixel(int64_t image, int64_t y, int64_t x) const {
    if (y < 0 || y >= limit_h || x < 0 || x >= limit_w) return nullptr;
    return data + ((image * h + (y >> shift)) * w + (x >> shift)) * channels * (dtype == DType::kFloat32 ? 4 : 2);
  }
};

template <class T>
void sum_pixels(const Gather& g, int64_t image, int64_t y, int64_t x, int64_t channel, int64_t count, float* to) {
  const T* from[4];
  int found = 0;
  for (int i = 0; i < 4; i++)
    if (const char* p = g.pixel(image, y + i / 2, x + i % 2)) from[found++] = reinterpret_cast<const T*>(p) + channel;
  for (int64_t c = 0; c < count; c += kLanes) {
    Vec sum = zero();
    for (int i = 0; i < found; i++) sum = sum + load_up_to(from[i] + c, count - c);
    store_up_to(to + c, sum, count - c);
  }
}

const void* gather_span(const void* context, int64_t row, int64_t begin, int64_t count, void* buffer) {
  const Gather& g = *static_cast<const Gather*>(context);
  const int64_t image = row / (g.grid_h * g.grid_w), y = row / g.grid_w % g.grid_h * g.step,
                x = row % g.grid_w * g.step;
  const int64_t item = g.sum_pairs || g.dtype == DType::kFloat32 ? 4 : 2;
  char* to = static_cast<char*>(buffer);
  int64_t tap = begin / g.channels, channel = begin % g.channels;
  while (count > 0) {
    const int64_t n = count < g.channels - channel ? count : g.channels - channel;
    const int64_t ty = y + g.offset_y[tap / g.taps_x], tx = x + g.offset_x[tap % g.taps_x];
    if (g.sum_pairs) {
      with_float_type(g.dtype, [&](auto* t) {
        sum_pixels<std::remove_pointer_t<decltype(t)>>(g, image, ty, tx, channel, n, reinterpret_cast<float*>(to));
      });
    } else if (const char* from = g.pixel(image, ty, tx)) {
      from += channel * item;
      if (n == count && to == buffer) return from;
      std::memcpy(to, from, static_cast<size_t>(n * item));
    } else {
      std::memset(to, 0, static_cast<size_t>(n * item));
    }
    to += n * item;
    count -= n;
    channel = 0;
    tap++;
  }
  return buffer;
}

GemmFactor gathered_factor(const Gather& g, bool k_major) {
  GemmFactor f;
  f.dtype = g.sum_pairs ? DType::kFloat32 : g.dtype;
  f.k_major = k_major;
  f.span = gather_span;
  f.context = &g;
  return f;
}

// The input under every tap of every output pixel.
Gather gather_inputs(const Conv2dShape& s, const void* x, DType dtype) {
  Gather g;
  g.data = static_cast<const char*>(x);
  g.dtype = dtype;
  g.h = s.h;
  g.w = s.w;
  g.channels = s.ci;
  g.grid_h = s.ho;
  g.grid_w = s.wo;
  g.shift = s.upsample ? 1 : 0;
  g.limit_h = s.h << g.shift;
  g.limit_w = s.w << g.shift;
  g.step = s.stride;
  g.taps_y = static_cast<int>(s.kh);
  g.taps_x = static_cast<int>(s.kw);
  for (int64_t i = 0; i < s.kh; i++) g.offset_y[i] = i - s.top;
  for (int64_t j = 0; j < s.kw; j++) g.offset_x[j] = j - s.left;
  return g;
}

// The gradients that reach the input pixels through every tap.
Gather gather_outputs(const Conv2dShape& s, const void* dy, DType dtype) {
  Gather g;
  g.data = static_cast<const char*>(dy);
  g.dtype = dtype;
  g.h = g.limit_h = s.ho;
  g.w = g.limit_w = s.wo;
  g.channels = s.co;
  return g;
}

// For an input enlarged to twice its size: every stored pixel stands for four, whose gradients are neighbours.
Gather gather_outputs_of_enlarged(const Conv2dShape& s, const void* dy, DType dtype) {
  Gather g = gather_outputs(s, dy, dtype);
  g.grid_h = s.h;
  g.grid_w = s.w;
  g.step = 2;
  g.sum_pairs = true;
  g.taps_y = static_cast<int>(s.kh);
  g.taps_x = static_cast<int>(s.kw);
  for (int64_t i = 0; i < s.kh; i++) g.offset_y[i] = s.top - i;
  for (int64_t j = 0; j < s.kw; j++) g.offset_x[j] = s.left - j;
  return g;
}

bool is_pointwise(const Conv2dShape& s) {
  return s.taps() == 1 && s.stride == 1 && s.top == 0 && s.left == 0 && s.ho == s.h && s.wo == s.w && !s.upsample;
}

// weight[co, taps, ci] as the right factor of dx: k runs through (tap of the phase, co).
struct WeightRows {
  const char* data;
  int64_t item, co, ci, taps;
  int taps_x;
  int tap_y[kMaxTaps], tap_x[kMaxTaps], kw;
};

const void* weight_span(const void* context, int64_t k, int64_t begin, int64_t, void*) {
  const WeightRows& r = *static_cast<const WeightRows*>(context);
  const int64_t tap = k / r.co, channel = k % r.co;
  const int64_t position = r.tap_y[tap / r.taps_x] * r.kw + r.tap_x[tap % r.taps_x];
  return r.data + ((channel * r.taps + position) * r.ci + begin) * r.item;
}

struct Bias {
  const float* data;  // null, [co] or [n, co]
  bool per_image;
};

// bias and time embedding as one line for all images, or one for each.
Bias combine_biases(const Conv2dParams& p, float* memory) {
  if (!p.bias && !p.time) return {nullptr, false};
  const int64_t images = p.time ? p.s.n : 1;
  const auto add = [&](const void* from, DType dtype, int64_t lines) {
    with_float_type(dtype, [&](auto* t) {
      const auto* values = static_cast<const std::remove_pointer_t<decltype(t)>*>(from);
      for (int64_t i = 0; i < images; i++)
        for (int64_t c = 0; c < p.s.co; c++)
          memory[i * p.s.co + c] += to_float(values[(lines == 1 ? 0 : i) * p.s.co + c]);
    });
  };
  std::memset(memory, 0, static_cast<size_t>(images * p.s.co) * sizeof(float));
  if (p.bias) add(p.bias, p.bias_dtype, 1);
  if (p.time) add(p.time, p.time_dtype, images);
  return {memory, p.time != nullptr};
}

// dx by one product for each phase: input pixels whose position modulo the stride is the same see the same taps.
void input_gradient(const Conv2dBackwardParams& p) {
  const Conv2dShape& s = p.s;
  const int64_t item = p.dtype == DType::kFloat32 ? 4 : 2;
  for (int64_t py = 0; py < s.stride && py < s.h; py++)
    for (int64_t px = 0; px < s.stride && px < s.w; px++) {
      Gather g = gather_outputs(s, p.dy, p.dtype);
      WeightRows rows{};
      const auto collect = [&](int64_t phase, int64_t padding, int64_t kernel, int64_t* offsets, int* taps) {
        int count = 0;
        for (int64_t k = 0; k < kernel; k++) {
          const int64_t distance = phase + padding - k;
          if (distance % s.stride != 0) continue;
          offsets[count] = distance / s.stride;
          taps[count++] = static_cast<int>(k);
        }
        return count;
      };
      g.taps_y = collect(py, s.top, s.kh, g.offset_y, rows.tap_y);
      g.taps_x = collect(px, s.left, s.kw, g.offset_x, rows.tap_x);
      g.grid_h = (s.h - py + s.stride - 1) / s.stride;
      g.grid_w = (s.w - px + s.stride - 1) / s.stride;
      char* dx = static_cast<char*>(p.dx) + (py * s.w + px) * s.ci * item;
      if (g.taps_y == 0 || g.taps_x == 0) {
        for (int64_t i = 0; i < s.n * g.grid_h * g.grid_w; i++) {
          const int64_t y = i / g.grid_w, image = y / g.grid_h;
          const int64_t at = ((image * s.h + y % g.grid_h * s.stride) * s.w + i % g.grid_w * s.stride) * s.ci;
          std::memset(dx + at * item, 0, static_cast<size_t>(s.ci * item));
        }
        continue;
      }
      rows.data = static_cast<const char*>(p.weight);
      rows.item = p.weight_dtype == DType::kFloat32 ? 4 : 2;
      rows.co = s.co;
      rows.ci = s.ci;
      rows.taps = s.taps();
      rows.kw = static_cast<int>(s.kw);
      rows.taps_x = g.taps_x;
      Gemm product;
      product.m = s.n * g.grid_h * g.grid_w;
      product.n = s.ci;
      product.segment[0].k = g.taps_y * g.taps_x * s.co;
      product.segment[0].a = is_pointwise(s) ? factor_of(p.dy, p.dtype, s.co, false) : gathered_factor(g, false);
      product.segment[0].b = factor_of(p.weight, p.weight_dtype, s.taps() * s.ci, true);
      product.segment[0].b.span = weight_span;
      product.segment[0].b.context = &rows;
      product.c = dx;
      product.c_dtype = p.dtype;
      product.rows = {s.stride * s.ci, g.grid_w, s.stride * s.w * s.ci, g.grid_h, s.h * s.w * s.ci};
      gemm(product);
    }
}

void input_gradient_of_enlarged(const Conv2dBackwardParams& p) {
  const Conv2dShape& s = p.s;
  const Gather g = gather_outputs_of_enlarged(s, p.dy, p.dtype);
  WeightRows rows{};
  rows.data = static_cast<const char*>(p.weight);
  rows.item = p.weight_dtype == DType::kFloat32 ? 4 : 2;
  rows.co = s.co;
  rows.ci = s.ci;
  rows.taps = s.taps();
  rows.kw = rows.taps_x = static_cast<int>(s.kw);
  for (int k = 0; k < kMaxTaps; k++) rows.tap_y[k] = rows.tap_x[k] = k;
  Gemm product;
  product.m = s.n * s.h * s.w;
  product.n = s.ci;
  product.segment[0].k = s.taps() * s.co;
  product.segment[0].a = gathered_factor(g, false);
  product.segment[0].b = factor_of(p.weight, p.weight_dtype, s.taps() * s.ci, true);
  product.segment[0].b.span = weight_span;
  product.segment[0].b.context = &rows;
  product.c = p.dx;
  product.c_dtype = p.dtype;
  product.rows.stride2 = s.ci;
  gemm(product);
}

void weight_gradient(const Conv2dBackwardParams& p) {
  const Conv2dShape& s = p.s;
  Gemm product;
  product.c = p.dweight;
  if (s.upsample) {
    const Gather g = gather_outputs_of_enlarged(s, p.dy, p.dtype);
    product.m = s.taps() * s.co;
    product.n = s.ci;
    product.segment[0] = {gathered_factor(g, true), factor_of(p.x, p.dtype, s.ci, true), s.n * s.h * s.w};
    product.rows = {s.taps() * s.ci, s.co, s.ci, s.taps(), 0};
    gemm(product);
    return;
  }
  const Gather g = gather_inputs(s, p.x, p.dtype);
  product.m = s.co;
  product.n = s.taps() * s.ci;
  product.segment[0].a = factor_of(p.dy, p.dtype, s.co, true);
  product.segment[0].b = is_pointwise(s) ? factor_of(p.x, p.dtype, s.ci, true) : gathered_factor(g, true);
  product.segment[0].k = s.n * s.ho * s.wo;
  product.rows.stride2 = product.n;
  gemm(product);
}

}  // namespace

void conv2d_forward(const Conv2dParams& p) {
  const Conv2dShape& s = p.s;
  Scratch<float> bias_memory(s.n * s.co);
  const Bias bias = combine_biases(p, bias_memory.data);
  if (p.winograd) {
    winograd({p.x,
              s.n,
              s.h,
              s.w,
              s.ci,
              s.upsample,
              s.co,
              s.ho,
              s.wo,
              s.top,
              s.left,
              p.weight,
              p.weight_dtype,
              false,
              p.transformed,
              p.dtype,
              bias.data,
              bias.per_image,
              p.residual,
              p.y});
    return;
  }
  const Gather g = gather_inputs(s, p.x, p.dtype);
  Gemm product;
  product.m = s.n * s.ho * s.wo;
  product.n = s.co;
  product.segment[0].k = s.taps() * s.ci;
  product.segment[0].a = is_pointwise(s) ? factor_of(p.x, p.dtype, s.ci, false) : gathered_factor(g, false);
  product.segment[0].b = factor_of(p.weight, p.weight_dtype, s.taps() * s.ci, false);
  product.bias = bias.data;
  product.bias_rows = bias.per_image ? s.ho * s.wo : 0;
  product.residual = p.residual;
  product.c = p.y;
  product.c_dtype = p.dtype;
  product.rows.stride2 = s.co;
  gemm(product);
}

void conv2d_backward(const Conv2dBackwardParams& p) {
  const Conv2dShape& s = p.s;
  if (p.dx && p.winograd)
    winograd({p.dy,       s.n,      s.ho,           s.wo, s.co,          false,   s.ci,    s.h,   s.w,     2 - s.top,
              2 - s.left, p.weight, p.weight_dtype, true, p.transformed, p.dtype, nullptr, false, nullptr, p.dx});
  else if (p.dx)
    s.upsample ? input_gradient_of_enlarged(p) : input_gradient(p);
  if (p.dweight) weight_gradient(p);
  if (!p.dbias && !p.dtime) return;
  Scratch<float> memory(s.n * s.co);
  float* sums = p.dtime ? p.dtime : memory.data;
  column_sums(p.dy, p.dtype, s.n, s.ho * s.wo, s.co, sums);
  if (p.dbias) column_sums(sums, DType::kFloat32, 1, s.n, s.co, p.dbias);
}

}  // namespace noisewright::NOISEWRIGHT_TARGET

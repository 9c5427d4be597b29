// Convolution as a matrix product whose left factor, rows of (tap, channel) for each pixel, is gathered while tiles are
// brought to shared memory. A layer with few pixels and a long K (8 x 8 pixels, 9 * 1280) gets its parallelism from
// the split of K in ops/matmul/gemm_cuda.cpp.
//
// Arithmetic, not measured on a GPU; tiles and their floor stand in ops/matmul/gemm_cuda.cu. A 3 x 3 layer of 320
// channels and 64 x 64 pixels is 7.5 GFLOP for 7 MB of 16-bit x, weights and y, 1100 operations a byte: bound by tensor
// cores and by what blocks read from the second-level cache, x nine times for every 64 output channels. One address
// serves eight channels of a tap: two divisions by multiplying and four comparisons for 16 bytes. Expected: 35 to 50 %
// of the 16-bit peak, a little less than a plain product. 8 x 8 pixels of 1280 channels are 1.9 GFLOP for 29.5 MB of
// weights, 64 operations a byte: bound by reading weights, 20 us at 1.5 TB/s. dx and dweight are products like them;
// where the input is enlarged, dx reads sums of squares of dy, a tensor as large as dy.
#include "ops/conv2d/conv2d_cuda.h"

#include "core/parallel.h"
#include "cuda/kernel_name.h"
#include "cuda/launch.h"
#include "ops/conv2d/conv2d.h"
#include "ops/matmul/gemm_cuda.h"

namespace noisewright::cuda {

namespace {

int32_t narrow(int64_t x) { return static_cast<int32_t>(x); }

void check_size(const Conv2dShape& s) {
  constexpr int64_t kMost = int64_t{1} << 31;
  const int64_t channels = s.ci > s.co ? s.ci : s.co;
  if (s.n * s.h * s.w >= kMost / 4 || s.n * (s.ho + 1) * (s.wo + 1) >= kMost || s.taps() * channels >= kMost)
    fail(ErrorKind::kInternal, "conv2d", "on the GPU there are fewer than 2^29 pixels and 2^31 taps times channels");
}

// Images [n, h, w, channels] under taps_x wide kernels around the pixels of a grid.
Factor gathered(const void* data, DType dtype, int64_t h, int64_t w, int64_t channels, int64_t grid_h, int64_t grid_w,
                int64_t taps_x) {
  Factor f;
  f.kind = FactorKind::kPixels;
  f.data = data;
  f.dtype = dtype;
  PixelTaps& p = f.pixels;
  p.h = p.limit_h = narrow(h);
  p.w = p.limit_w = narrow(w);
  p.channels = narrow(channels);
  p.step = p.direction = 1;
  p.grid_h = Divider(grid_h);
  p.grid_w = Divider(grid_w);
  p.taps_x = Divider(taps_x);
  p.by_channels = Divider(channels);
  return f;
}

// The input under every tap of every output pixel.
Factor gather_inputs(const Conv2dShape& s, const void* x, DType dtype) {
  Factor f = gathered(x, dtype, s.h, s.w, s.ci, s.ho, s.wo, s.kw);
  PixelTaps& p = f.pixels;
  p.shift = s.upsample ? 1 : 0;
  p.limit_h <<= p.shift;
  p.limit_w <<= p.shift;
  p.step = narrow(s.stride);
  p.first_y = narrow(-s.top);
  p.first_x = narrow(-s.left);
  return f;
}

// For an enlarged input: the sums of squares of dy under every tap of every stored pixel, from the tensor that
// conv2d_square_sums makes.
Factor gather_squares(const Conv2dShape& s, const void* squares, DType dtype) {
  Factor f = gathered(squares, dtype, s.ho + 1, s.wo + 1, s.co, s.h, s.w, s.kw);
  f.pixels.step = 2;
  f.pixels.direction = -1;
  f.pixels.first_y = narrow(s.top + 1);
  f.pixels.first_x = narrow(s.left + 1);
  return f;
}

// weight[co, taps, ci] as the right factor of dx: k runs through (tap, co), the lines are ci.
Factor weight_rows(const Conv2dBackwardParams& p, int64_t first_y, int64_t first_x, int64_t step, int64_t taps_x) {
  Factor f;
  f.kind = FactorKind::kWeights;
  f.data = p.weight;
  f.dtype = p.weight_dtype;
  f.k_major = true;
  f.weights = {narrow(p.s.ci),  narrow(p.s.taps()), narrow(p.s.kw),  narrow(first_y),
               narrow(first_x), narrow(step),       Divider(p.s.co), Divider(taps_x)};
  return f;
}

// The kernel's taps that an input pixel at `phase` modulo the stride is under: first, first + stride, ... The first of
// them comes from the output pixel `distance` away, each next one from one before.
struct PhaseTaps {
  int64_t first, count, distance;
};

PhaseTaps taps_of_phase(int64_t phase, int64_t padding, int64_t kernel, int64_t stride) {
  const int64_t first = (phase + padding) % stride;
  return {first, first < kernel ? (kernel - first + stride - 1) / stride : 0, (phase + padding - first) / stride};
}

// dx by one product for each phase: input pixels whose position modulo the stride is the same see the same taps.
void input_gradient(const Conv2dBackwardParams& p) {
  const Conv2dShape& s = p.s;
  for (int64_t py = 0; py < s.stride && py < s.h; py++)
    for (int64_t px = 0; px < s.stride && px < s.w; px++) {
      const PhaseTaps y = taps_of_phase(py, s.top, s.kh, s.stride), x = taps_of_phase(px, s.left, s.kw, s.stride);
      const int64_t grid_h = (s.h - py + s.stride - 1) / s.stride, grid_w = (s.w - px + s.stride - 1) / s.stride;
      const int64_t taps = y.count * x.count, taps_x = x.count ? x.count : 1;  // without taps dx is zero
      Product product;
      product.tf32 = p.dtype != DType::kFloat32;
      product.m = s.n * grid_h * grid_w;
      product.n = s.ci;
      product.k = taps * s.co;
      product.a = gathered(p.dy, p.dtype, s.ho, s.wo, s.co, grid_h, grid_w, taps_x);
      product.a.pixels.direction = -1;
      product.a.pixels.first_y = narrow(y.distance);
      product.a.pixels.first_x = narrow(x.distance);
      product.b = weight_rows(p, y.first, x.first, s.stride, taps_x);
      product.c = static_cast<char*>(p.dx) + (py * s.w + px) * s.ci * static_cast<int64_t>(item_size(p.dtype));
      product.c_dtype = p.dtype;
      product.stride2 = s.stride * s.ci;
      product.size2 = grid_w;
      product.stride1 = s.stride * s.w * s.ci;
      product.size1 = grid_h;
      product.stride0 = s.h * s.w * s.ci;
      multiply(product, "conv2d backward");
    }
}

void input_gradient_of_enlarged(const Conv2dBackwardParams& p, const void* squares) {
  const Conv2dShape& s = p.s;
  Product product;
  product.tf32 = p.dtype != DType::kFloat32;
  product.m = s.n * s.h * s.w;
  product.n = s.ci;
  product.k = s.taps() * s.co;
  product.a = gather_squares(s, squares, p.dtype);
  product.b = weight_rows(p, 0, 0, 1, s.kw);
  product.c = p.dx;
  product.c_dtype = p.dtype;
  product.stride2 = s.ci;
  multiply(product, "conv2d backward");
}

void weight_gradient(const Conv2dBackwardParams& p, const void* squares) {
  const Conv2dShape& s = p.s;
  Product product;
  product.c = p.dweight;
  if (s.upsample) {  // rows are (tap, co)
    product.m = s.taps() * s.co;
    product.n = s.ci;
    product.k = s.n * s.h * s.w;
    product.a = gather_squares(s, squares, p.dtype);
    product.a.k_major = true;
    product.b = matrix_of(p.x, p.dtype, s.ci, true);
    product.stride2 = s.taps() * s.ci;
    product.size2 = s.co;
    product.stride1 = s.ci;
    product.size1 = s.taps();
  } else {
    product.m = s.co;
    product.n = s.taps() * s.ci;
    product.k = s.n * s.ho * s.wo;
    product.a = matrix_of(p.dy, p.dtype, s.co, true);
    product.b = gather_inputs(s, p.x, p.dtype);
    product.b.k_major = true;
    product.stride2 = product.n;
  }
  multiply(product, "conv2d backward");
}

}  // namespace

void conv2d_forward(const Conv2dParams& p) {
  const Conv2dShape& s = p.s;
  check_size(s);
  Product product;
  product.tf32 = p.dtype != DType::kFloat32;
  product.m = s.n * s.ho * s.wo;
  product.n = s.co;
  product.k = s.taps() * s.ci;
  product.a = gather_inputs(s, p.x, p.dtype);
  product.b = matrix_of(p.weight, p.weight_dtype, product.k, false);
  product.bias = p.bias;
  product.bias_dtype = p.bias_dtype;
  product.row_bias = p.time;
  product.row_bias_dtype = p.time_dtype;
  product.rows_per_bias = s.ho * s.wo;
  product.residual = p.residual;
  product.residual_dtype = p.dtype;
  product.c = p.y;
  product.c_dtype = p.dtype;
  product.stride2 = s.co;
  multiply(product, "conv2d");
}

void conv2d_backward(const Conv2dBackwardParams& p) {
  const Conv2dShape& s = p.s;
  check_size(s);
  const bool squared = s.upsample && (p.dx || p.dweight);
  const int64_t count = s.n * (s.ho + 1) * (s.wo + 1) * s.co;
  const Scratch<char> squares(squared ? count * static_cast<int64_t>(item_size(p.dtype)) : 1);
  if (squared)
    launch_kernel(("conv2d_square_sums" + suffix("conv2d", p.dtype) + "_kernel").c_str(),
                  {blocks_for(count, kSquareThreads)}, {kSquareThreads}, 0,
                  SquareSums{p.dy, squares.data, count, narrow(s.ho), narrow(s.wo), narrow(s.co)});
  if (p.dx) s.upsample ? input_gradient_of_enlarged(p, squares.data) : input_gradient(p);
  if (p.dweight) weight_gradient(p, squares.data);
  if (!p.dbias && !p.dtime) return;
  const Scratch<float> memory(s.n * s.co);
  float* sums = p.dtime ? p.dtime : memory.data;
  column_sums(p.dy, p.dtype, s.n, s.ho * s.wo, s.co, sums);
  if (p.dbias) column_sums(sums, DType::kFloat32, 1, s.n, s.co, p.dbias);
}

}  // namespace noisewright::cuda

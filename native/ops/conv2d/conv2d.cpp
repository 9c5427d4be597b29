#include "ops/conv2d/conv2d.h"

#include <map>

#include "core/launch.h"
#include "ops/cast/expanded_weight.h"
#include "ops/ops.h"

namespace noisewright {

namespace {

using MaybeTensor = std::optional<Tensor>;

void check_tensor(const Tensor& t, const char* name) {
  CHECK("conv2d", t.contiguous(), name, " must be contiguous");
  CHECK("conv2d", is_float(t.dtype), name, " must be a float tensor");
}

void* data_of(const MaybeTensor& t) { return t ? t->data() : nullptr; }
float* floats_of(const MaybeTensor& t) { return static_cast<float*>(data_of(t)); }

Conv2dShape shape_of(const Shape& x, const Tensor& weight, int64_t stride, int64_t top, int64_t bottom, int64_t left,
                     int64_t right, bool upsample) {
  CHECK("conv2d", x.size() == 4 && weight.rank() == 4 && x[3] == weight.size(3),
        "x is [n,h,w,ci], weight [co,kh,kw,ci]");
  CHECK("conv2d", weight.size(1) <= 64 && weight.size(2) <= 64, "kernels are at most 64 wide");
  CHECK("conv2d", stride >= 1 && top >= 0 && bottom >= 0 && left >= 0 && right >= 0, "stride and padding out of range");
  Conv2dShape s{};
  s.n = x[0];
  s.h = x[1];
  s.w = x[2];
  s.ci = x[3];
  s.co = weight.size(0);
  s.kh = weight.size(1);
  s.kw = weight.size(2);
  s.stride = stride;
  s.top = top;
  s.left = left;
  s.upsample = upsample;
  const int64_t factor = upsample ? 2 : 1;
  s.ho = (s.h * factor + top + bottom - s.kh) / stride + 1;
  s.wo = (s.w * factor + left + right - s.kw) / stride + 1;
  CHECK("conv2d", s.ho > 0 && s.wo > 0, "the kernel is larger than the padded input");
  CHECK("conv2d", stride == 1 || !upsample, "an enlarged input needs stride 1");
  return s;
}

// Whether transformed weights stay beside the weight: never, for layers with many pixels, or wherever they make the
// call faster.
enum class Keep : int64_t { kNever, kLarge, kAlways };

struct FastChoice {
  bool fast, keep;
};

// Whether the fast 3x3 convolution wins: it must have enough 4x4 tiles to make up for weights that are four times as
// large, and more where bfloat16 dot products are the alternative. Measured. On the device thread, where the
// instruction set is known.
FastChoice choose_fast(const Conv2dShape& s, int64_t h, int64_t w, bool exact, Keep keep, bool bfloat16_product) {
  if (Device::running()->kind() != DeviceKind::kCpu) return {false, false};  // GPUs have no kernels for it
  if (exact || s.kh != 3 || s.kw != 3 || s.stride != 1 || s.ci < 32 || s.co < 32) return {false, false};
  const int64_t tiles = s.n * ((h + 3) / 4) * ((w + 3) / 4);
  if (tiles >= 64) return {true, keep != Keep::kNever};
  const bool dot = bfloat16_product && current_cpu_target() == CpuTarget::kAvx512Bf16;
  return {tiles >= 16 && (!dot || keep == Keep::kAlways), keep == Keep::kAlways};
}

// Transformed weights that a frozen weight's storage keeps: one entry for each view, direction and instruction set.
struct KeptWeights {
  struct Buffer {
    Pool* pool = nullptr;
    void* data = nullptr;
    ~Buffer() {
      if (pool) pool->give(data);
    }
  };
  std::map<std::tuple<int64_t, Shape, bool, int>, Buffer> buffers;
};

const float* kept_weights(const Tensor& weight, DType dtype, const Conv2dShape& s, bool backward) {
  Storage& storage = *weight.storage;
  if (!storage.derived || storage.derived_version != storage.version) {
    storage.derived = std::make_shared<KeptWeights>();
    storage.derived_version = storage.version;
  }
  auto& kept = *static_cast<KeptWeights*>(storage.derived.get());
  auto& buffer = kept.buffers[{weight.offset, weight.shape, backward, static_cast<int>(current_cpu_target())}];
  if (!buffer.data) {
    Device* device = Device::running();
    buffer.data =
        device->pool().take(static_cast<size_t>(winograd_weights_size(s.ci, s.co, backward)) * sizeof(float), "conv2d");
    buffer.pool = &device->pool();
    const ExpandedWeight expanded(weight, dtype);
    run_kernel("conv2d", {cpu::winograd_weights},
               WinogradWeightsParams{expanded.data(), dtype, s.ci, s.co, backward, static_cast<float*>(buffer.data)});
  }
  return static_cast<const float*>(buffer.data);
}

}  // namespace

bool fast_convolution_wins(const Conv2dShape& s, int64_t h, int64_t w, bool bfloat16_product) {
  return choose_fast(s, h, w, false, Keep::kNever, bfloat16_product).fast;
}

Tensor conv2d_forward(const Tensor& x, const Tensor& weight, const MaybeTensor& bias, const MaybeTensor& time_embedding,
                      const MaybeTensor& residual, int64_t stride, int64_t top, int64_t bottom, int64_t left,
                      int64_t right, bool upsample, bool exact, int64_t keep) {
  check_tensor(x, "x");
  CHECK("conv2d", weight.contiguous() && is_weight(weight.dtype), "weight must be contiguous floats");
  Conv2dParams p{};
  p.s = shape_of(x.shape, weight, stride, top, bottom, left, right, upsample);
  p.dtype = x.dtype;
  p.weight_dtype = ExpandedWeight::type_of(weight, x.dtype);
  if (bias) {
    check_tensor(*bias, "bias");
    p.bias_dtype = bias->dtype;
  }
  if (time_embedding) {
    check_tensor(*time_embedding, "timeEmbedding");
    CHECK("conv2d", time_embedding->count() == p.s.n * p.s.co, "timeEmbedding must be [n, co]");
    p.time_dtype = time_embedding->dtype;
  }
  if (residual) {
    check_tensor(*residual, "residual");
    CHECK("conv2d", residual->dtype == x.dtype && residual->count() == p.s.n * p.s.ho * p.s.wo * p.s.co,
          "residual must be like the result");
  }
  Tensor y = empty(x, {p.s.n, p.s.ho, p.s.wo, p.s.co});
  Tensors inputs{x, weight};
  for (const auto* t : {&bias, &time_embedding, &residual}) append(inputs, *t);
  launch<kRepeatable>("conv2d", inputs, {y}, [=]() mutable {
    p.x = x.data();
    p.bias = data_of(bias);
    p.time = data_of(time_embedding);
    p.residual = data_of(residual);
    p.y = y.data();
    const FastChoice choice = choose_fast(p.s, p.s.ho, p.s.wo, exact, static_cast<Keep>(keep),
                                          p.dtype == DType::kBFloat16 && p.weight_dtype == p.dtype);
    p.winograd = choice.fast;
    p.transformed = choice.fast && choice.keep ? kept_weights(weight, p.weight_dtype, p.s, false) : nullptr;
    const ExpandedWeight expanded(weight, p.weight_dtype, p.transformed == nullptr);
    p.weight = expanded.data();
    run_kernel("conv2d", {cpu::conv2d_forward, cuda::conv2d_forward}, p);
  });
  return y;
}

std::tuple<MaybeTensor, MaybeTensor, MaybeTensor, MaybeTensor> conv2d_backward(
    const Tensor& dy, const MaybeTensor& x, const Shape& x_shape, const Tensor& weight, int64_t stride, int64_t top,
    int64_t bottom, int64_t left, int64_t right, bool upsample, bool exact, int64_t keep, bool needs_x,
    bool needs_weight, bool needs_bias, bool needs_time) {
  check_tensor(dy, "dy");
  Conv2dBackwardParams p{};
  p.s = shape_of(x_shape, weight, stride, top, bottom, left, right, upsample);
  p.dtype = dy.dtype;
  p.weight_dtype = ExpandedWeight::type_of(weight, dy.dtype);
  CHECK("conv2d", dy.count() == p.s.n * p.s.ho * p.s.wo * p.s.co && (!x || x->dtype == dy.dtype),
        "dy must be like the result");
  CHECK("conv2d", x || !needs_weight, "x is missing");
  const bool never_fast = exact || upsample || top > 2 || left > 2;
  MaybeTensor dx, dweight, dbias, dtime;
  if (needs_x) dx = empty(dy, x_shape);
  if (needs_weight) dweight = empty(dy, weight.shape, DType::kFloat32);
  if (needs_bias) dbias = empty(dy, {p.s.co}, DType::kFloat32);
  if (needs_time) dtime = empty(dy, {p.s.n, p.s.co}, DType::kFloat32);
  Tensors inputs{dy, weight}, outputs;
  append(inputs, x);
  for (const auto* t : {&dx, &dweight, &dbias, &dtime}) append(outputs, *t);
  if (outputs.empty()) return {};
  launch<kRepeatable>("conv2d backward", inputs, outputs, [=]() mutable {
    p.dy = dy.data();
    p.x = data_of(x);
    p.dx = data_of(dx);
    p.dweight = floats_of(dweight);
    p.dbias = floats_of(dbias);
    p.dtime = floats_of(dtime);
    const FastChoice choice = choose_fast(p.s, p.s.h, p.s.w, never_fast, static_cast<Keep>(keep),
                                          p.dtype == DType::kBFloat16 && p.weight_dtype == p.dtype);
    p.winograd = choice.fast;
    p.transformed = p.dx && choice.fast && choice.keep ? kept_weights(weight, p.weight_dtype, p.s, true) : nullptr;
    const ExpandedWeight expanded(weight, p.weight_dtype, p.dx && p.transformed == nullptr);
    p.weight = expanded.data();
    run_kernel("conv2d backward", {cpu::conv2d_backward, cuda::conv2d_backward}, p);
  });
  return {dx, dweight, dbias, dtime};
}

}  // namespace noisewright

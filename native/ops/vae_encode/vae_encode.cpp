// The encoder of the autoencoder as one job, one picture after another. Normalisation needs the statistics of a whole
// tensor, so the work is cut by layer, not by picture: the statistics of a layer's input come first, then bands of its
// rows, with one row more on each side, are normalised into a small buffer and convolved from there. Two activations of
// full size are alive at most: a resnet adds its result to its input in place. Weights of fast convolutions are
// transformed for one picture's layer at a time and not kept. All kernels but that of the pixels are other ops', on the
// CPU as on the GPU.
#include "ops/vae_encode/vae_encode.h"

#include <algorithm>
#include <cmath>

#include "core/launch.h"
#include "core/parallel.h"
#include "ops/attention/attention.h"
#include "ops/conv2d/conv2d.h"
#include "ops/group_norm/group_norm.h"
#include "ops/linear/linear.h"
#include "ops/matmul/matmul.h"
#include "ops/ops.h"
#include "ops/vae_encode/vae_network.h"

namespace noisewright {

namespace {

using namespace vae_encoder;

constexpr int64_t kBandNumbers = int64_t{1} << 21;  // of a band's input, about
constexpr int64_t kTileRows = 4;  // of the fast convolution: bands that end between tiles do not change its sums

template <class Params>
void run(const Kernels<Params>& kernels, const Params& params) {
  run_kernel(kOp, kernels, params);
}

int64_t padded(int64_t bytes) { return (bytes + 63) / 64 * 64; }

// Memory handed out from the front.
class Slot {
 public:
  explicit Slot(int64_t bytes) : memory_(bytes), bytes_(bytes) {}
  void* take(int64_t bytes) {  // null when there is no room
    if (used_ + padded(bytes) > bytes_) return nullptr;
    void* data = memory_.data + used_;
    used_ += padded(bytes);
    return data;
  }
  void clear() { used_ = 0; }

 private:
  friend class Lease;
  Scratch<char> memory_;
  int64_t bytes_, used_ = 0;
};

// Memory for as long as it lives, from the slot where there is room, else from the pool. Leases of a slot end in
// reverse order.
class Lease {
 public:
  Lease(Slot& slot, int64_t bytes) : slot_(slot), used_(slot.used_), in_slot_(slot.take(bytes)) {
    pooled_ = in_slot_ ? nullptr : scratch_take(static_cast<uint64_t>(bytes));
  }
  ~Lease() {
    slot_.used_ = used_;
    if (pooled_) scratch_give(pooled_);
  }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  void* data() const { return in_slot_ ? in_slot_ : pooled_; }

 private:
  Slot& slot_;
  int64_t used_;
  void *in_slot_, *pooled_;
};

// Bytes of the larger of the two slots' contents: x and, where channels change, its successor; or what a resnet has in
// between.
int64_t slot_bytes(const Config& c, int64_t h, int64_t w) {
  int64_t bytes = 0;
  for (size_t l = 0; l < c.channels.size(); l++) {
    const int64_t pixel = (h >> l) * (w >> l) * c.item(), before = l > 0 ? c.channels[l - 1] : c.channels[l];
    const int64_t own = padded(pixel * c.channels[l]);
    bytes = std::max(bytes, before == c.channels[l] ? own : own + padded(pixel * before));
  }
  return bytes;
}

class Encoder {
 public:
  Encoder(const Config& config, const Network& network, int64_t h, int64_t w)
      : c_(config), net_(network), h_(h), w_(w), first_(slot_bytes(config, h, w)), second_(slot_bytes(config, h, w)) {}

  void encode(const void* pixels, DType pixel_dtype, float* moments) {
    here_ = &first_;
    beside_ = &second_;
    h_here_ = h_;
    w_here_ = w_;
    here_->clear();
    beside_->clear();
    x_ = take(*here_, c_.channels[0]);
    const int64_t pixel_row = w_ * 3 * static_cast<int64_t>(item_size(pixel_dtype));
    convolve(net_.conv_in, nullptr, 3, c_.channels[0], nullptr, x_, c_.dtype, [&](int64_t row, int64_t rows, void* to) {
      run({cpu::vae_pixels, cuda::vae_pixels}, VaePixelsParams{static_cast<const char*>(pixels) + row * pixel_row, to,
                                                               rows * w_ * 3, pixel_dtype, c_.dtype});
    });
    for (const Level& level : net_.levels) {
      for (const Resnet& block : level.resnets) resnet(block);
      if (level.down) halve(*level.down);
    }
    resnet(net_.mid[0]);
    attend(net_.attention);
    resnet(net_.mid[1]);
    finish(moments);
  }

 private:
  int64_t pixels() const { return h_here_ * w_here_; }

  // A tensor of c channels in the present size.
  char* take(Slot& slot, int64_t c) {
    void* data = slot.take(pixels() * c * c_.item());
    CHECK(kOp, data, "an activation does not fit");
    return static_cast<char*>(data);
  }

  // The rows that group_norm_apply needs to normalise x.
  void statistics(const Layer& norm, const void* x, int64_t c, float* rows) {
    Scratch<float> results(2 * c_.groups);
    GroupNormParams p{};
    p.x = x;
    p.weight = norm.weight.data();
    p.bias = norm.bias.data();
    p.mean = results.data;
    p.rstd = results.data + c_.groups;
    p.n = 1;
    p.pixels = pixels();
    p.c = c;
    p.groups = c_.groups;
    p.eps = c_.eps;
    p.dtype = c_.dtype;
    p.weight_dtype = norm.weight.dtype;
    p.bias_dtype = norm.bias.dtype;
    run({cpu::group_norm_statistics, cuda::group_norm_statistics}, GroupNormStatisticsParams{p, rows});
  }

  // y = residual + conv3x3(input) with zeros around, where fill(row, rows, to) writes rows of the input [h, w, ci] in
  // the dtype of y. extra is added to the bias, float32 [co].
  template <class Fill>
  void convolve(const Layer& conv, const float* extra, int64_t ci, int64_t co, const void* residual, void* y,
                DType dtype, Fill fill) {
    const int64_t item = static_cast<int64_t>(item_size(dtype)), in_row = w_here_ * ci * item,
                  out_row = w_here_ * co * item;
    Conv2dParams p{};
    p.s = {1, h_here_, w_here_, ci, co, 3, 3, h_here_, w_here_, 1, 0, 1, false};
    p.weight = conv.weight.data();
    p.bias = conv.bias.data();
    p.time = extra;
    p.dtype = dtype;
    p.weight_dtype = conv.weight.dtype;
    p.bias_dtype = conv.bias.dtype;
    p.time_dtype = DType::kFloat32;
    p.winograd = Device::running()->kind() == DeviceKind::kCpu &&
                 fast_convolution_wins(p.s, h_here_, w_here_, dtype == DType::kBFloat16 && p.weight_dtype == dtype);
    const Lease transformed(*beside_, p.winograd ? winograd_weights_size(ci, co, false) * int64_t{sizeof(float)} : 64);
    if (p.winograd) {
      auto* to = static_cast<float*>(transformed.data());
      run({cpu::winograd_weights}, WinogradWeightsParams{p.weight, p.weight_dtype, ci, co, false, to});
      p.transformed = to;
    }
    int64_t band = c_.band_rows > 0 ? c_.band_rows : kBandNumbers / (w_here_ * ci);
    band = std::min(std::max((band + kTileRows - 1) / kTileRows, int64_t{1}) * kTileRows, h_here_);
    Scratch<char> input((band + 2) * in_row);
    p.x = input.data;
    for (int64_t first = 0; first < h_here_; first += band) {
      const int64_t rows = std::min(band, h_here_ - first), begin = std::max(first - 1, int64_t{0});
      const int64_t end = std::min(first + rows + 1, h_here_);
      fill(begin, end - begin, input.data);
      p.s.h = end - begin;
      p.s.top = first == begin ? 1 : 0;  // the zeros around the picture
      p.s.ho = rows;
      p.residual = residual ? static_cast<const char*>(residual) + first * out_row : nullptr;
      p.y = static_cast<char*>(y) + first * out_row;
      run({cpu::conv2d_forward, cuda::conv2d_forward}, p);
    }
  }

  // convolve() of the normalised x with SiLU.
  void convolve_normalised(const Layer& norm, const Layer& conv, const float* extra, const void* x, int64_t ci,
                           int64_t co, const void* residual, void* y, DType dtype) {
    Scratch<float> constants(3 * group_norm_row_length(ci));
    statistics(norm, x, ci, constants.data);
    convolve(conv, extra, ci, co, residual, y, dtype, [&](int64_t row, int64_t rows, void* to) {
      const char* from = static_cast<const char*>(x) + row * w_here_ * ci * c_.item();
      run({cpu::group_norm_apply, cuda::group_norm_apply},
          GroupNormApplyParams{from, constants.data, to, rows * w_here_, ci, true, c_.dtype, dtype});
    });
  }

  // The convolution of the whole of x, without bands.
  void convolve_whole(const Layer& conv, const Conv2dShape& shape, const void* x, void* y) {
    Conv2dParams p{};
    p.s = shape;
    p.x = x;
    p.weight = conv.weight.data();
    p.bias = conv.bias.data();
    p.y = y;
    p.dtype = c_.dtype;
    p.weight_dtype = conv.weight.dtype;
    p.bias_dtype = conv.bias.dtype;
    run({cpu::conv2d_forward, cuda::conv2d_forward}, p);
  }

  void resnet(const Resnet& r) {
    char* hidden = take(*beside_, r.co);
    convolve_normalised(r.norm1, r.conv1, nullptr, x_, r.ci, r.co, nullptr, hidden, c_.dtype);
    if (r.shortcut) {
      char* y = take(*here_, r.co);
      convolve_whole(*r.shortcut, {1, h_here_, w_here_, r.ci, r.co, 1, 1, h_here_, w_here_, 1, 0, 0, false}, x_, y);
      x_ = y;
    }
    convolve_normalised(r.norm2, r.conv2, nullptr, hidden, r.co, r.co, x_, x_, c_.dtype);
    beside_->clear();
  }

  // Stride 2 with zeros to the right and below.
  void halve(const Layer& conv) {
    const int64_t c = conv.bias.count(), h = h_here_, w = w_here_;
    h_here_ /= 2;
    w_here_ /= 2;
    char* y = take(*beside_, c);
    convolve_whole(conv, {1, h, w, c, c, 3, 3, h_here_, w_here_, 2, 0, 0, false}, x_, y);
    here_->clear();
    std::swap(here_, beside_);
    x_ = y;
  }

  void linear(const Layer& layer, const void* x, const void* residual, void* y) {
    LinearParams p{};
    p.x = x;
    p.weight = layer.weight.data();
    p.bias = layer.bias.data();
    p.residual = residual;
    p.y = y;
    p.rows = pixels();
    p.in = p.out = layer.bias.count();
    p.dtype = c_.dtype;
    p.weight_dtype = layer.weight.dtype;
    p.bias_dtype = layer.bias.dtype;
    p.activation = Activation::kNone;
    run({cpu::linear_forward, cuda::linear_forward}, p);
  }

  // x += out(attention of the normalised x), one head.
  void attend(const Attention& a) {
    const int64_t c = c_.channels.back(), bytes = pixels() * c * c_.item();
    const Lease tokens(*beside_, bytes), q(*beside_, bytes), k(*beside_, bytes), v(*beside_, bytes);
    {
      Scratch<float> constants(3 * group_norm_row_length(c));
      statistics(a.norm, x_, c, constants.data);
      run({cpu::group_norm_apply, cuda::group_norm_apply},
          GroupNormApplyParams{x_, constants.data, tokens.data(), pixels(), c, false, c_.dtype, c_.dtype});
    }
    linear(a.q, tokens.data(), nullptr, q.data());
    linear(a.k, tokens.data(), nullptr, k.data());
    linear(a.v, tokens.data(), nullptr, v.data());
    Scratch<float> lse(pixels());
    const auto view = [&](void* data) { return AttentionView{data, pixels() * c, c}; };
    const auto scale = static_cast<float>(1 / std::sqrt(static_cast<double>(c)));
    run({cpu::attention_forward, cuda::attention_forward},
        AttentionForwardParams{{1, 1, pixels(), pixels(), c, scale, false, c_.dtype},
                               view(q.data()),
                               view(k.data()),
                               view(v.data()),
                               view(tokens.data()),
                               lse.data});
    linear(a.out, tokens.data(), x_, x_);
  }

  // conv_out and the 1x1 quant_conv after it are one convolution: weight Wq W, bias Wq b + bq, in float32.
  void finish(float* moments) {
    const int64_t ci = c_.channels.back(), co = c_.latents;
    const Layer &conv = net_.conv_out, &quant = net_.quant;
    Tensor weight = make_tensor(Device::running(), conv.weight.shape, DType::kFloat32);
    Scratch<float> bias(co);
    const auto times_quant = [&](const Tensor& right, int64_t n, void* to) {
      run({cpu::matmul_forward, cuda::matmul_forward},
          MatmulParams{quant.weight.data(), right.data(), to, 1, co, n, co, co * co, co * n, quant.weight.dtype,
                       right.dtype, DType::kFloat32, false, false});
    };
    times_quant(conv.weight, 9 * ci, weight.data());
    times_quant(conv.bias, 1, bias.data);
    convolve_normalised(net_.norm_out, {weight, quant.bias}, bias.data, x_, ci, co, nullptr, moments, DType::kFloat32);
  }

  const Config& c_;
  const Network& net_;
  const int64_t h_, w_;
  int64_t h_here_ = 0, w_here_ = 0;
  Slot first_, second_;
  Slot *here_ = nullptr, *beside_ = nullptr;  // x lives in one; what a layer needs besides, in the other
  char* x_ = nullptr;
};

}  // namespace

Tensor vae_encode_forward(const Tensor& pixels, const std::vector<Tensor>& parameters,
                          const std::vector<int64_t>& channels, int64_t layers, int64_t groups, double eps,
                          int64_t band_rows) {
  CHECK(kOp, pixels.rank() == 4 && pixels.size(3) == 3 && pixels.contiguous(), "pictures are [n, h, w, 3]");
  CHECK(kOp, pixels.dtype == DType::kUint8 || pixels.dtype == DType::kFloat32, "pictures are uint8 or float32");
  CHECK(kOp, !channels.empty() && channels.back() % 8 == 0 && groups > 0 && !parameters.empty(),
        "channels, groups, parameters");
  for (int64_t c : channels) CHECK(kOp, c % groups == 0, "the channels must divide by the groups");
  const int64_t reduction = int64_t{1} << (channels.size() - 1), h = pixels.size(1), w = pixels.size(2);
  CHECK(kOp, h % reduction == 0 && w % reduction == 0, "the picture's size must divide by ", reduction);
  const Config config{channels,           layers, groups, parameters.back().count(), static_cast<float>(eps), band_rows,
                      parameters[0].dtype};
  const Network network(config, parameters);
  Tensor moments = empty(pixels, {pixels.size(0), h / reduction, w / reduction, config.latents}, DType::kFloat32);
  Tensors inputs{pixels};
  inputs.insert(inputs.end(), parameters.begin(), parameters.end());
  launch(kOp, std::move(inputs), {moments}, [=] {
    Encoder encoder(config, network, h, w);
    const int64_t in = h * w * 3 * static_cast<int64_t>(item_size(pixels.dtype)),
                  out = moments.count() / moments.size(0);
    for (int64_t i = 0; i < pixels.size(0); i++)
      encoder.encode(static_cast<const char*>(pixels.data()) + i * in, pixels.dtype,
                     moments.data_as<float>() + i * out);
  });
  return moments;
}

}  // namespace noisewright

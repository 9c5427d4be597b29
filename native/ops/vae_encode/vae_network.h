// What vaeEncode runs: its sizes, and its parameters in the order of the list that is given.
#pragma once
#include <vector>

#include "core/tensor.h"

namespace noisewright::vae_encoder {

constexpr const char* kOp = "vaeEncode";

struct Config {
  std::vector<int64_t> channels;
  int64_t layers, groups, latents;  // latents: 2 * latent channels
  float eps;
  int64_t band_rows;
  DType dtype;  // of activations
  int64_t item() const { return static_cast<int64_t>(item_size(dtype)); }
};

struct Layer {
  Tensor weight, bias;
};

// The list of parameters, read in order.
class Parameters {
 public:
  explicit Parameters(const std::vector<Tensor>& list) : list_(list) {}
  Layer next(const Shape& shape) {
    CHECK(kOp, at_ + 2 <= list_.size(), "the list of parameters is too short");
    Layer layer{list_[at_], list_[at_ + 1]};
    at_ += 2;
    CHECK(kOp, layer.weight.shape == shape && layer.bias.shape == Shape{shape[0]}, "parameter ", at_ - 2,
          " has the wrong shape");
    for (const Tensor* t : {&layer.weight, &layer.bias})
      CHECK(kOp, t->contiguous() && is_float(t->dtype), "parameters must be contiguous float tensors");
    return layer;
  }
  Layer norm(int64_t c) { return next({c}); }
  Layer conv3(int64_t ci, int64_t co) { return next({co, 3, 3, ci}); }
  Layer conv1(int64_t ci, int64_t co) { return next({co, 1, 1, ci}); }
  Layer linear(int64_t c) { return next({c, c}); }
  void end() const { CHECK(kOp, at_ == list_.size(), "the list of parameters is too long"); }

 private:
  const std::vector<Tensor>& list_;
  size_t at_ = 0;
};

struct Resnet {
  Layer norm1, conv1, norm2, conv2;
  std::optional<Layer> shortcut;
  int64_t ci, co;
  Resnet(Parameters& p, int64_t in, int64_t out)
      : norm1(p.norm(in)), conv1(p.conv3(in, out)), norm2(p.norm(out)), conv2(p.conv3(out, out)), ci(in), co(out) {
    if (ci != co) shortcut = p.conv1(ci, co);
  }
};

struct Level {
  std::vector<Resnet> resnets;
  std::optional<Layer> down;
};

struct Attention {
  Layer norm, q, k, v, out;
};

struct Network {
  Layer conv_in;
  std::vector<Level> levels;
  Attention attention;
  std::vector<Resnet> mid;
  Layer norm_out, conv_out, quant;

  Network(const Config& c, const std::vector<Tensor>& list) {
    Parameters p(list);
    conv_in = p.conv3(3, c.channels[0]);
    for (size_t l = 0; l < c.channels.size(); l++) {
      Level level;
      for (int64_t i = 0; i < c.layers; i++)
        level.resnets.emplace_back(p, c.channels[l > 0 && i == 0 ? l - 1 : l], c.channels[l]);
      if (l + 1 < c.channels.size()) level.down = p.conv3(c.channels[l], c.channels[l]);
      levels.push_back(std::move(level));
    }
    const int64_t last = c.channels.back();
    attention.norm = p.norm(last);
    for (Layer* layer : {&attention.q, &attention.k, &attention.v, &attention.out}) *layer = p.linear(last);
    for (int i = 0; i < 2; i++) mid.emplace_back(p, last, last);
    norm_out = p.norm(last);
    conv_out = p.conv3(last, c.latents);
    quant = p.conv1(c.latents, c.latents);
    p.end();
  }
};

}  // namespace noisewright::vae_encoder

// Every operation the addon offers, as C++ functions: check what only this library can get wrong, describe the outputs,
// enqueue. One block per op; binding/ops.cpp gives each its JavaScript name.
#pragma once
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "core/tensor.h"

namespace noisewright {

// create: on the CPU device; random numbers are a function of (seed, stream, element)
Tensor fill(const Shape& shape, DType dtype, double value);
Tensor random_uniform(const Shape& shape, uint64_t seed, uint64_t stream, double low, double high);
Tensor random_normal(const Shape& shape, uint64_t seed, uint64_t stream);

// add: a op b, b broadcast along its axes of size 1; op is 0 add, 1 subtract, 2 multiply
Tensor add_forward(const Tensor& a, const Tensor& b, int64_t op);

// activation: kind is 0 silu, 1 gelu (erf), 2 quickGelu; geglu halves the last axis
Tensor activation_forward(const Tensor& x, int64_t kind);
Tensor activation_backward(const Tensor& dy, const Tensor& x, int64_t kind);
Tensor geglu_forward(const Tensor& x);
Tensor geglu_backward(const Tensor& dy, const Tensor& x);

// group_norm: x [n, ..., c]; y, mean and rstd [n, groups]. Backward: dx, dweight, dbias
std::tuple<Tensor, Tensor, Tensor> group_norm_forward(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                                      int64_t groups, double eps, bool silu);
std::tuple<std::optional<Tensor>, std::optional<Tensor>, std::optional<Tensor>> group_norm_backward(
    const Tensor& dy, const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& mean, const Tensor& rstd,
    int64_t groups, bool silu, bool needs_x, bool needs_weight, bool needs_bias);

// layer_norm: rows of the last axis; y, mean and rstd of x's shape without it. Backward: dx, dweight, dbias
std::tuple<Tensor, Tensor, Tensor> layer_norm_forward(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                                      double eps);
std::tuple<std::optional<Tensor>, std::optional<Tensor>, std::optional<Tensor>> layer_norm_backward(
    const Tensor& dy, const Tensor& x, const Tensor& weight, const Tensor& mean, const Tensor& rstd, bool needs_x,
    bool needs_weight, bool needs_bias);
// mse_loss: mean over samples of w_n mean((prediction - target)^2), float32 []; the gradient goes to prediction alone
Tensor mse_loss_forward(const Tensor& prediction, const Tensor& target, const std::optional<Tensor>& weights);
Tensor mse_loss_backward(const Tensor& dloss, const Tensor& prediction, const Tensor& target,
                         const std::optional<Tensor>& weights);

// embedding: rows of table chosen by int32 ids; the gradient is a whole float32 table of `rows` rows
Tensor embedding_forward(const Tensor& ids, const Tensor& table);
Tensor embedding_backward(const Tensor& dy, const Tensor& ids, int64_t rows);

// timestep_embedding: [cos(t f_i), sin(t f_i)] float32 [n, dim]
Tensor timestep_embedding_forward(const Tensor& timesteps, int64_t dim, double max_period);

// add_noise: the noisy latents, or the velocity target, at each sample's timestep
Tensor add_noise_forward(const Tensor& latents, const Tensor& noise, const Tensor& timesteps,
                         const Tensor& alphas_cumprod);
Tensor velocity_forward(const Tensor& latents, const Tensor& noise, const Tensor& timesteps,
                        const Tensor& alphas_cumprod);

// offset_noise: noise [n, ..., c] plus a random shift for each sample and channel; latents are read when adaptive_scale
// is not 0
Tensor offset_noise_forward(const Tensor& noise, const std::optional<Tensor>& latents, double offset,
                            double adaptive_scale, uint64_t seed, uint64_t stream);

// accumulate: in place. y += x, y = x (types may differ), y *= factor (0 clears, NaN too)
void accumulate(const Tensor& y, const Tensor& x);
void copy_into(const Tensor& y, const Tensor& x);
void scale_in_place(const Tensor& y, double factor);

// quantize_blockwise: 8-bit codes and one float32 scale for every 256 elements; quantization_map: the 256 values of the
// codes
std::tuple<Tensor, Tensor> quantize_blockwise(const Tensor& x, bool is_signed);
Tensor dequantize_blockwise(const Tensor& codes, const Tensor& absmax, bool is_signed);
Tensor quantization_map(bool is_signed);

// gradient_norm: [norm, min(1, max_norm / (norm + 1e-6))] of all gradients together; an infinite max_norm does not clip
Tensor gradient_norm(std::vector<Tensor> gradients, double max_norm);

// adam_w: one step for all parameters, in place. State lists as in adam_w.h (absmax null: float32 states; copy null:
// none); hyperparameters are [lr, beta1, beta2, eps, weight decay] of each group, one group after the other; clip comes
// from gradient_norm
void adam_w_step(std::vector<Tensor> params, std::vector<Tensor> gradients, std::vector<Tensor> state1,
                 std::vector<Tensor> state2, std::vector<std::optional<Tensor>> absmax1,
                 std::vector<std::optional<Tensor>> absmax2, std::vector<std::optional<Tensor>> copies,
                 const std::vector<int64_t>& groups, const std::vector<int64_t>& steps,
                 const std::vector<double>& hyperparameters, const std::optional<Tensor>& clip, bool decay_after,
                 bool skip_invalid);

}  // namespace noisewright

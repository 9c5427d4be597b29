// Every operation the addon offers, as C++ functions: check what only this library can get wrong, describe the outputs,
// enqueue. One block per op; binding/ops.cpp gives each its JavaScript name.
#pragma once
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "core/tensor.h"

namespace noisewright {

// create: on the device of that name, cpu when there is none; random numbers are a function of (seed, stream, element)
Tensor fill(const Shape& shape, DType dtype, double value, const std::optional<std::string>& device);
Tensor paged_zeros(const Shape& shape, DType dtype, const std::string& folder);
Tensor pinned_zeros(const Shape& shape, DType dtype, const std::string& device);
void page_out(std::vector<Tensor> tensors);
Tensor random_uniform(const Shape& shape, uint64_t seed, uint64_t stream, double low, double high,
                      const std::optional<std::string>& device);
Tensor random_normal(const Shape& shape, uint64_t seed, uint64_t stream, const std::optional<std::string>& device);
Tensor peak_probe(int64_t tasks, int64_t vectors);

// add: a op b, b broadcast along its axes of size 1; op is 0 add, 1 subtract, 2 multiply
Tensor add_forward(const Tensor& a, const Tensor& b, int64_t op);

// concat_batch: one after the other along the first axis
Tensor concat_batch_forward(const std::vector<Tensor>& parts);

// posterior_sample: mean + exp(logvar / 2) * noise in float32; moments hold [mean ; logvar] on the last axis
Tensor posterior_sample_forward(const Tensor& moments, const Tensor& noise);
// matmul: c = a b over leading axes; b may be one matrix for all of them unless a is transposed
Tensor matmul_forward(const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b);
std::tuple<std::optional<Tensor>, std::optional<Tensor>> matmul_backward(const Tensor& dc, const Tensor& a,
                                                                         const Tensor& b, bool transpose_a,
                                                                         bool transpose_b, bool needs_a, bool needs_b);

// linear: y = activation(x weightT + bias + lora_scale (x lora_downT) lora_upT) + residual. With save, also what
// backward needs: lora_scale times x lora_downT, and the activation's argument.
std::tuple<Tensor, std::optional<Tensor>, std::optional<Tensor>> linear_forward(
    const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias, const std::optional<Tensor>& residual,
    const std::optional<Tensor>& lora_down, const std::optional<Tensor>& lora_up, int64_t activation, double lora_scale,
    bool save);
// Gradients of x, weight, bias, lora_down, lora_up; that of residual is dy. x may be absent where no gradient needs it.
std::tuple<std::optional<Tensor>, std::optional<Tensor>, std::optional<Tensor>, std::optional<Tensor>,
           std::optional<Tensor>>
linear_backward(const Tensor& dy, const std::optional<Tensor>& x, const Tensor& weight,
                const std::optional<Tensor>& lora_down, const std::optional<Tensor>& lora_up,
                const std::optional<Tensor>& z, const std::optional<Tensor>& pre, int64_t activation, double lora_scale,
                bool needs_x, bool needs_weight, bool needs_bias, bool needs_down, bool needs_up);

// conv2d: y = convolution(x, enlarged first with upsample) + bias + time_embedding + residual. exact: no fast 3x3
// convolution. keep: its transformed weights stay beside weight 0 never, 1 for layers with many pixels, 2 wherever that
// is faster.
Tensor conv2d_forward(const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias,
                      const std::optional<Tensor>& time_embedding, const std::optional<Tensor>& residual,
                      int64_t stride, int64_t top, int64_t bottom, int64_t left, int64_t right, bool upsample,
                      bool exact, int64_t keep);
// Gradients of x, weight, bias, time_embedding; that of residual is dy. x is needed for that of weight alone.
std::tuple<std::optional<Tensor>, std::optional<Tensor>, std::optional<Tensor>, std::optional<Tensor>> conv2d_backward(
    const Tensor& dy, const std::optional<Tensor>& x, const Shape& x_shape, const Tensor& weight, int64_t stride,
    int64_t top, int64_t bottom, int64_t left, int64_t right, bool upsample, bool exact, int64_t keep, bool needs_x,
    bool needs_weight, bool needs_bias, bool needs_time);
// attention: softmax(scale q k^T) v for each head of q [n, t, heads * d], k and v [n, s, heads * d]; d is a multiple
// of 8. forward gives (o, log-sum-exp [n, heads, t]), backward (dq, dk, dv) as far as they are needed
std::tuple<Tensor, Tensor> attention_forward(const Tensor& q, const Tensor& k, const Tensor& v, int64_t heads,
                                             bool causal, double scale);
std::tuple<std::optional<Tensor>, std::optional<Tensor>, std::optional<Tensor>> attention_backward(
    const Tensor& dy, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& o, const Tensor& lse,
    int64_t heads, bool causal, double scale, bool needs_q, bool needs_k, bool needs_v);

// vae_encode: moments float32 [n, h/f, w/f, 2 * latent channels] of pictures [n, h, w, 3], uint8 or float32 in [-1, 1];
// f halves with each level but the last. parameters: see lib/ops/vaeEncode.ts. band_rows 0: chosen; the result does not
// depend on it
Tensor vae_encode_forward(const Tensor& pixels, const std::vector<Tensor>& parameters,
                          const std::vector<int64_t>& channels, int64_t layers, int64_t groups, double eps,
                          int64_t band_rows);

// softmax along the last axis; backward takes the gradient and the result of forward
Tensor softmax_forward(const Tensor& x);
Tensor softmax_backward(const Tensor& dy, const Tensor& y);
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
// element_loss: mean over samples of w_n mean(mask_n l(prediction - target)), float32 []; the gradient goes to
// prediction alone. kind is 0 l2, 1 l1, 2 huber, 3 smooth l1; the last two have a threshold for each sample
Tensor element_loss_forward(const Tensor& prediction, const Tensor& target, const std::optional<Tensor>& weights,
                            const std::optional<Tensor>& thresholds, const std::optional<Tensor>& mask, int64_t kind);
Tensor element_loss_backward(const Tensor& dloss, const Tensor& prediction, const Tensor& target,
                             const std::optional<Tensor>& weights, const std::optional<Tensor>& thresholds,
                             const std::optional<Tensor>& mask, int64_t kind);

// embedding: rows of table, continued by added, chosen by int32 ids; the gradient is a float32 table of `rows` rows,
// the first of which has the id `first`
Tensor embedding_forward(const Tensor& ids, const Tensor& table, const std::optional<Tensor>& added);
Tensor embedding_backward(const Tensor& dy, const Tensor& ids, int64_t first, int64_t rows);

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

// gradient_norm: [norm, min(1, max_norm / (norm + 1e-6)) / multiple] of all gradients together, each given as a
// multiple of itself; an infinite max_norm does not clip
Tensor gradient_norm(std::vector<Tensor> gradients, double max_norm, double multiple);

// limit_norms: scales the factors of every product whose norm, scale * sqrt(square), is above max_norm, in place and
// all alike; factor_counts says how many each product has. [products scaled, mean norm, largest norm], both as they are
// then
Tensor limit_norms(std::vector<Tensor> factors, const std::vector<int64_t>& factor_counts, std::vector<Tensor> squares,
                   const std::vector<double>& scales, double max_norm);

// optimizer_step: one step for all parameters, in place, by a rule of optimizer_rules.h. States and scales lie
// parameter by parameter, as many as the rule has (a state null: the rule runs without it; absmax null: float32 states;
// copy null: none); streams are of each parameter's random numbers, for stochastic rounding; rows chooses its [l2,
// decay, mode, 12 numbers of the rule] from constants; clip comes from gradient_norm
void optimizer_step(const std::string& rule, std::vector<Tensor> params, std::vector<Tensor> gradients,
                    std::vector<std::optional<Tensor>> states, std::vector<std::optional<Tensor>> absmax,
                    std::vector<std::optional<Tensor>> copies, const std::vector<int64_t>& streams,
                    const std::vector<int64_t>& rows, const std::vector<double>& constants,
                    const std::optional<Tensor>& clip, bool decay_after, bool skip_invalid, bool stochastic_rounding,
                    uint64_t seed);

// adaptive_step: one step of a learning-rate-free optimizer for all parameters, in place, by a rule of
// adaptive_rules.h. States lie parameter by parameter (null: the rule runs without it); rows chooses each parameter's
// [factor, weight decay, eps] from groups; fresh is 1 for those never stepped before; settings and switches are
// AdaptiveSettings, scalars the bits of AdaptiveScalars as int64; clip comes from gradient_norm
void adaptive_step(const std::string& rule, std::vector<Tensor> params, std::vector<Tensor> gradients,
                   std::vector<std::optional<Tensor>> states, std::vector<std::optional<Tensor>> copies,
                   const std::vector<int64_t>& rows, const std::vector<int64_t>& fresh,
                   const std::vector<double>& groups, const std::vector<double>& settings, int64_t switches,
                   int64_t slice, const Tensor& scalars, const std::optional<Tensor>& clip, bool stochastic_rounding,
                   uint64_t seed);

// tensor_step: one step, in place, of optimizers that need statistics of whole tensors (tensor_step.h). States lie
// parameter by parameter, as many as the rule has; streams as in optimizer_step; axes are four for each parameter, the
// [outer, rows, columns, inner] it is factored as, or zeros; rows chooses each parameter's 12 numbers from constants;
// rate_index says where in rates the rate of a parameter is stored, -1 for nowhere; clip comes from gradient_norm
void tensor_step(const std::string& rule, std::vector<Tensor> params, std::vector<Tensor> gradients,
                 std::vector<std::optional<Tensor>> states, std::vector<std::optional<Tensor>> copies,
                 const std::vector<int64_t>& streams, const std::vector<int64_t>& axes,
                 const std::vector<int64_t>& rows, const std::vector<double>& constants,
                 const std::vector<int64_t>& rate_index, const std::optional<Tensor>& rates,
                 const std::optional<Tensor>& clip, bool stochastic_rounding, uint64_t seed);

// muon_step: one step, in place, for all matrices. streams as in optimizer_step; shapes are [rows, columns] of each and
// numbers its [momentum, 1 - momentum, 1 to look ahead, factor of the parameter, factor of the update]; half iterates
// in bfloat16; clip comes from gradient_norm
void muon_step(std::vector<Tensor> params, std::vector<Tensor> gradients, std::vector<Tensor> momenta,
               std::vector<std::optional<Tensor>> copies, const std::vector<int64_t>& streams,
               const std::vector<int64_t>& shapes, const std::vector<double>& numbers, int64_t steps, bool half,
               const std::optional<Tensor>& clip, bool stochastic_rounding, uint64_t seed);

// resize_image: uint8 [h, w, c], c = 1 or 3, at another size; method is area, lanczos or lanczos3
Tensor resize_image(const Tensor& image, int64_t height, int64_t width, const std::string& method);

// image_to_tensor: a window of a uint8 image as float32 [1, height, width, 3] in [-1, 1]
Tensor image_to_tensor(const Tensor& image, int64_t left, int64_t top, int64_t width, int64_t height, bool flip);

// shift_hue: a uint8 image [h, w, 3] with its hues turned by shift, in units of two degrees
Tensor shift_hue(const Tensor& image, double shift);

// lookup_table: table [256] at every byte of x
Tensor lookup_table(const Tensor& x, const Tensor& table);
// reduce: factor * the sum of x (times z) over axes (ascending), which disappear; float32. Backward spreads dy over x's
// shape again
Tensor reduce_forward(const Tensor& x, const std::optional<Tensor>& z, const Shape& axes, double factor);
Tensor reduce_backward(const Tensor& dy, const Shape& shape, const Shape& axes, double factor, DType dtype);

// scale, cast
Tensor scale_forward(const Tensor& x, double factor);
Tensor cast_forward(const Tensor& x, DType dtype);

// contiguous: a packed copy of a strided view; slice_backward puts dy back at `start` of an axis among zeros; channels
// are the last axis
Tensor contiguous_forward(const Tensor& x);
Tensor slice_backward(const Tensor& dy, const Shape& shape, int64_t axis, int64_t start);
Tensor concat_channels_forward(const Tensor& a, const Tensor& b);

// load_parameter: elements of type F64, F32, F16 or BF16 from byte `offset` of an open file, [co, ci, kh, kw] there
// where channels_last; store_parameter: back to that layout. `shape` is memory's. The CPU reads for every device
Tensor load_parameter(int64_t descriptor, int64_t offset, const std::string& file_type, const Shape& shape,
                      bool channels_last, DType dtype, const std::string& device);
Tensor store_parameter(const Tensor& x, bool channels_last, DType dtype);

// dropout: the mask is a function of (seed, stream, element); backward is the same call on dy
Tensor dropout_forward(const Tensor& x, double probability, uint64_t seed, uint64_t stream);

}  // namespace noisewright

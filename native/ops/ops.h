// Every operation the addon offers, as C++ functions: check what only this library can get wrong, describe the outputs,
// enqueue. One block per op; binding/ops.cpp gives each its JavaScript name.
#pragma once
#include <optional>
#include <string>
#include <tuple>

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

}  // namespace noisewright

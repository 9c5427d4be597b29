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

// attention: softmax(scale q k^T) v for each head of q [n, t, heads * d], k and v [n, s, heads * d]; d is a multiple
// of 8. forward gives (o, log-sum-exp [n, heads, t]), backward (dq, dk, dv) as far as they are needed
std::tuple<Tensor, Tensor> attention_forward(const Tensor& q, const Tensor& k, const Tensor& v, int64_t heads,
                                             bool causal, double scale);
std::tuple<std::optional<Tensor>, std::optional<Tensor>, std::optional<Tensor>> attention_backward(
    const Tensor& dy, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& o, const Tensor& lse,
    int64_t heads, bool causal, double scale, bool needs_q, bool needs_k, bool needs_v);

// softmax along the last axis; backward takes the gradient and the result of forward
Tensor softmax_forward(const Tensor& x);
Tensor softmax_backward(const Tensor& dy, const Tensor& y);

}  // namespace noisewright

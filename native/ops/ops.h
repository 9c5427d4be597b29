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
Tensor peak_probe(int64_t tasks, int64_t vectors);

// add: a op b, b broadcast along its axes of size 1; op is 0 add, 1 subtract, 2 multiply
Tensor add_forward(const Tensor& a, const Tensor& b, int64_t op);

}  // namespace noisewright

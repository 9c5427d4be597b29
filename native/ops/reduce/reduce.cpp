#include "ops/reduce/reduce.h"

#include "core/launch.h"
#include "ops/ops.h"

namespace noisewright {

Tensor reduce_forward(const Tensor& x, const std::optional<Tensor>& z, const Shape& axes, double factor) {
  CHECK("reduce", x.contiguous() && (!z || (z->contiguous() && z->shape == x.shape && z->dtype == x.dtype)),
        "inputs must be contiguous and of one shape and dtype");
  // Neighbouring axes of one kind become one; each run of summed axes is then one pass, the last first.
  Shape sizes, kept;
  std::vector<bool> summed;
  for (int axis = 0; axis < x.rank(); axis++) {
    const bool sum = std::find(axes.begin(), axes.end(), axis) != axes.end();
    if (!sum) kept.push_back(x.shape[axis]);
    if (x.shape[axis] == 1) continue;
    if (!sizes.empty() && summed.back() == sum) {
      sizes.back() *= x.shape[axis];
    } else {
      sizes.push_back(x.shape[axis]);
      summed.push_back(sum);
    }
  }
  Tensor from = x;
  std::optional<Tensor> with = z;
  for (;;) {
    const auto last = std::find(summed.rbegin(), summed.rend(), true);
    const size_t index = last == summed.rend() ? sizes.size() : static_cast<size_t>(summed.rend() - last) - 1;
    const bool final = std::count(summed.begin(), summed.end(), true) <= 1;
    ReduceParams p{};
    p.outer = p.terms = p.inner = 1;
    for (size_t i = 0; i < sizes.size(); i++) (i < index ? p.outer : i == index ? p.terms : p.inner) *= sizes[i];
    p.factor = final ? static_cast<float>(factor) : 1.0f;
    p.dtype = from.dtype;
    Tensor y = empty(x, final ? kept : Shape{p.outer * p.inner}, DType::kFloat32);
    Tensors inputs{from};
    append(inputs, with);
    launch<kRepeatable>("reduce", inputs, {y}, [=]() mutable {
      p.x = from.data();
      p.z = with ? with->data() : nullptr;
      p.y = y.data_as<float>();
      run_kernel("reduce", {cpu::reduce_forward, cuda::reduce_forward}, p);
    });
    if (final) return y;
    sizes.erase(sizes.begin() + static_cast<int64_t>(index));
    summed.erase(summed.begin() + static_cast<int64_t>(index));
    from = y;
    with = std::nullopt;
  }
}

Tensor reduce_backward(const Tensor& dy, const Shape& shape, const Shape& axes, double factor, DType dtype) {
  const Tensor scaled = scale_forward(dy, factor);
  Tensor view = dtype == dy.dtype ? scaled : cast_forward(scaled, dtype);
  // dy again for every element it is the sum of: the summed axes come back with stride 0.
  const Shape packed = packed_strides(dy.shape);
  view.shape = shape;
  view.strides.assign(shape.size(), 0);
  size_t next = 0;
  for (size_t axis = 0; axis < shape.size(); axis++)
    if (std::find(axes.begin(), axes.end(), static_cast<int64_t>(axis)) == axes.end())
      view.strides[axis] = packed[next++];
  return contiguous_forward(view);
}

}  // namespace noisewright

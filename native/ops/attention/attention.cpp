#include "ops/attention/attention.h"

#include "core/launch.h"
#include "ops/ops.h"

namespace noisewright {

namespace {

AttentionShape shape_of(const Tensor& q, const Tensor& k, int64_t heads, bool causal, double scale) {
  CHECK("attention", q.rank() == 3 && k.rank() == 3 && q.size(2) % (8 * heads) == 0, "head sizes are multiples of 8");
  return {q.size(0), heads, q.size(1), k.size(1), q.size(2) / heads, static_cast<float>(scale), causal, q.dtype};
}

AttentionView view_of(const Tensor& t) {
  CHECK("attention", t.strides[2] == 1, "the last axis is contiguous");
  return {t.data(), t.strides[0], t.strides[1]};
}

AttentionView view_of(const std::optional<Tensor>& t) { return t ? view_of(*t) : AttentionView{nullptr, 0, 0}; }

}  // namespace

std::tuple<Tensor, Tensor> attention_forward(const Tensor& q, const Tensor& k, const Tensor& v, int64_t heads,
                                             bool causal, double scale) {
  const AttentionShape shape = shape_of(q, k, heads, causal, scale);
  Tensor o = empty(q, q.shape), lse = empty(q, {shape.batch, heads, shape.queries}, DType::kFloat32);
  launch<kRepeatable>("attention", {q, k, v}, {o, lse}, [=] {
    run_kernel<AttentionForwardParams>("attention", {cpu::attention_forward, cuda::attention_forward},
                                       {shape, view_of(q), view_of(k), view_of(v), view_of(o), lse.data_as<float>()});
  });
  return {o, lse};
}

std::tuple<std::optional<Tensor>, std::optional<Tensor>, std::optional<Tensor>> attention_backward(
    const Tensor& dy, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& o, const Tensor& lse,
    int64_t heads, bool causal, double scale, bool needs_q, bool needs_k, bool needs_v) {
  const AttentionShape shape = shape_of(q, k, heads, causal, scale);
  std::optional<Tensor> dq, dk, dv;
  if (needs_q) dq = empty(q, q.shape);
  if (needs_k) dk = empty(k, k.shape);
  if (needs_v) dv = empty(v, v.shape);
  Tensors outputs;
  for (const auto* gradient : {&dq, &dk, &dv}) append(outputs, *gradient);
  if (outputs.empty()) return {};
  launch<kRepeatable>("attention backward", {dy, q, k, v, o, lse}, outputs, [=] {
    run_kernel<AttentionBackwardParams>("attention backward", {cpu::attention_backward, cuda::attention_backward},
                                        {shape, view_of(q), view_of(k), view_of(v), view_of(o), view_of(dy),
                                         lse.data_as<float>(), view_of(dq), view_of(dk), view_of(dv)});
  });
  return {dq, dk, dv};
}

}  // namespace noisewright

#include "ops/matmul/matmul.h"

#include "core/launch.h"
#include "ops/ops.h"

namespace noisewright {

namespace {

// [batch, rows, columns] of a, transposed or not; b may be one matrix for a whole batch.
Tensor multiply(const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b, Shape shape, DType dtype) {
  CHECK("matmul", a.rank() >= 2 && b.rank() >= 2 && a.contiguous() && b.contiguous(), "expected contiguous matrices");
  CHECK("matmul", is_float(a.dtype) && is_float(b.dtype), "expected float tensors");
  MatmulParams p{};
  p.m = a.size(transpose_a ? -1 : -2);
  p.k = a.size(transpose_a ? -2 : -1);
  p.n = b.size(transpose_b ? -2 : -1);
  CHECK("matmul", b.size(transpose_b ? -1 : -2) == p.k, "the inner sizes differ: ", p.k, " and ",
        b.size(transpose_b ? -1 : -2));
  p.batch = p.m * p.k == 0 ? 1 : a.count() / (p.m * p.k);
  p.a_batch_stride = p.m * p.k;
  p.b_batch_stride = b.rank() == 2 ? 0 : p.k * p.n;
  CHECK("matmul", b.rank() == 2 || b.count() == p.batch * p.k * p.n, "the leading sizes differ");
  if (b.rank() == 2 && !transpose_a) {  // one tall matrix
    p.m *= p.batch;
    p.batch = 1;
  }
  p.a_dtype = a.dtype;
  p.b_dtype = b.dtype;
  p.c_dtype = dtype;
  p.transpose_a = transpose_a;
  p.transpose_b = transpose_b;
  Tensor c = empty(a, std::move(shape), dtype);
  launch<kRepeatable>("matmul", {a, b}, {c}, [=]() mutable {
    p.a = a.data();
    p.b = b.data();
    p.c = c.data();
    run_kernel("matmul", {cpu::matmul_forward, cuda::matmul_forward}, p);
  });
  return c;
}

Tensor flattened(const Tensor& t) {
  Tensor flat = t;
  flat.shape = {t.count() / t.size(-1), t.size(-1)};
  flat.strides = packed_strides(flat.shape);
  return flat;
}

}  // namespace

Tensor matmul_forward(const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b) {
  Shape shape = a.shape;
  shape[shape.size() - 2] = a.size(transpose_a ? -1 : -2);
  shape.back() = b.size(transpose_b ? -2 : -1);
  return multiply(a, b, transpose_a, transpose_b, std::move(shape), a.dtype);
}

std::tuple<std::optional<Tensor>, std::optional<Tensor>> matmul_backward(const Tensor& dc, const Tensor& a,
                                                                         const Tensor& b, bool transpose_a,
                                                                         bool transpose_b, bool needs_a, bool needs_b) {
  std::optional<Tensor> da, db;
  if (needs_a) {
    // c = a b: da = dc bT; c = aT b: da = b dcT
    if (!transpose_a)
      da = multiply(dc, b, false, !transpose_b, a.shape, a.dtype);
    else
      da = multiply(b, dc, transpose_b, true, a.shape, a.dtype);
  }
  if (needs_b) {
    const bool shared = b.rank() == 2 && a.rank() > 2;
    CHECK("matmul", !shared || !transpose_a, "one b for a whole batch needs an a that is not transposed");
    const Tensor x = shared ? flattened(a) : a, dy = shared ? flattened(dc) : dc;
    // db = aT dc, or its transpose dcT a
    db = transpose_b ? multiply(dy, x, true, transpose_a, b.shape, b.dtype)
                     : multiply(x, dy, !transpose_a, false, b.shape, b.dtype);
  }
  return {da, db};
}

}  // namespace noisewright

#include "ops/embedding/embedding.h"

#include "core/launch.h"
#include "ops/ops.h"

namespace noisewright {

namespace {

// Ids are data, so a wrong one shows only when the operation runs. Device thread, CPU memory.
void check_ids(const EmbeddingParams& p) {
  if (Device::running()->kind() != DeviceKind::kCpu) return;
  const int64_t rows = p.rows + p.added_rows;
  for (int64_t i = 0; i < p.count; i++)
    if (p.ids[i] < 0 || p.ids[i] >= rows)
      fail(ErrorKind::kDevice, "embedding", "ids must be in [0, ", rows, "), the rows of the table; element ", i,
           " is ", p.ids[i]);
}

}  // namespace

Tensor embedding_forward(const Tensor& ids, const Tensor& table, const std::optional<Tensor>& added) {
  CHECK("embedding", ids.dtype == DType::kInt32 && ids.contiguous(), "ids must be contiguous int32");
  CHECK("embedding", table.rank() == 2 && table.contiguous(), "table must be a contiguous matrix");
  CHECK("embedding",
        !added || (added->rank() == 2 && added->contiguous() && added->size(1) == table.size(1) &&
                   added->dtype == table.dtype),
        "added must be a contiguous matrix of the table's width and dtype");
  EmbeddingParams p{};
  p.count = ids.count();
  p.rows = table.size(0);
  p.added_rows = added ? added->size(0) : 0;
  p.width = table.size(1);
  p.dtype = table.dtype;
  Shape shape = ids.shape;
  shape.push_back(p.width);
  Tensor y = empty(table, shape);
  Tensors inputs{ids, table};
  append(inputs, added);
  launch<kRepeatable>("embedding", inputs, {y}, [=]() mutable {
    p.ids = ids.data_as<int32_t>();
    p.table = table.data();
    p.added = added ? added->data() : nullptr;
    p.y = y.data();
    check_ids(p);
    run_kernel("embedding", {cpu::embedding_forward, cuda::embedding_forward}, p);
  });
  return y;
}

Tensor embedding_backward(const Tensor& dy, const Tensor& ids, int64_t first, int64_t rows) {
  CHECK("embedding", dy.rank() == ids.rank() + 1 && dy.contiguous() && ids.contiguous(),
        "dy must be contiguous [..., width]");
  EmbeddingParams p{};
  p.count = ids.count();
  p.first = first;
  p.rows = rows;
  p.width = dy.size(-1);
  p.dtype = dy.dtype;
  Tensor dtable = empty(dy, {rows, p.width}, DType::kFloat32);
  launch<kRepeatable>("embeddingBackward", {dy, ids}, {dtable}, [=]() mutable {
    p.ids = ids.data_as<int32_t>();
    p.dy = dy.data();
    p.dtable = dtable.data_as<float>();
    run_kernel("embedding", {cpu::embedding_backward, cuda::embedding_backward}, p);
  });
  return dtable;
}

}  // namespace noisewright

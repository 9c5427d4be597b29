#include "ops/concat_batch/concat_batch.h"

#include "core/launch.h"
#include "ops/ops.h"

namespace noisewright {

Tensor concat_batch_forward(const std::vector<Tensor>& parts) {
  Shape shape = parts[0].shape;
  shape[0] = 0;
  for (const auto& part : parts) shape[0] += part.shape[0];
  Tensor y = empty(parts[0], shape);
  launch<kRepeatable>("concatBatch", parts, {y}, [=] {
    std::vector<const void*> pointers;
    std::vector<int64_t> bytes;
    for (const auto& part : parts) {
      pointers.push_back(part.data());
      bytes.push_back(static_cast<int64_t>(part.bytes()));
    }
    run_kernel<ConcatBatchParams>("concatBatch", {cpu::concat_batch_forward, cuda::concat_batch_forward},
                                  {pointers.data(), bytes.data(), static_cast<int64_t>(bytes.size()), y.data()});
  });
  return y;
}

}  // namespace noisewright

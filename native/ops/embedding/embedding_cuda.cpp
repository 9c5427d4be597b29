#include "ops/embedding/embedding_cuda.h"

#include <numeric>

#include "cuda/kernel_name.h"
#include "cuda/launch.h"
#include "ops/embedding/embedding.h"

namespace noisewright::cuda {

// Bytes moved: the rows that are asked for, y once.
void embedding_forward(const EmbeddingParams& p) {
  const int64_t row = p.width * static_cast<int64_t>(item_size(p.dtype));
  int64_t unit = std::gcd(int64_t{16}, row);
  for (const void* data : {p.table, p.added, static_cast<const void*>(p.y)})
    unit = std::gcd(unit, static_cast<int64_t>(reinterpret_cast<uintptr_t>(data) % 16));
  launch_kernel(("embedding_" + std::to_string(unit) + "_kernel").c_str(), {p.count}, {kEmbeddingThreads}, 0, p,
                row / unit);
}

// Bytes moved: dy once, dtable once; ids once for every row, from the caches.
void embedding_backward(const EmbeddingParams& p) {
  const bool wide = p.width % 8 == 0 && aligned_for_eight({p.dy, p.dtable});
  launch_kernel(("embedding_gradient" + suffix("embedding", p.dtype) + "_kernel").c_str(), {p.rows},
                {kEmbeddingThreads}, 0, p, wide);
}

}  // namespace noisewright::cuda

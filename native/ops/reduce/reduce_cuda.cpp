#include "ops/reduce/reduce_cuda.h"

#include "core/parallel.h"
#include "cuda/elementwise.h"
#include "cuda/kernel_name.h"
#include "cuda/launch.h"
#include "ops/reduce/reduce.h"

namespace noisewright::cuda {

// Bytes moved: x (and z) once, y once.
void reduce_forward(const ReduceParams& p) {
  const bool rows = p.inner == 1;
  // Columns: at most 1024 chunks of at least 32 rows, few enough for one thread to add up.
  const int64_t chunk = rows ? kReduceChunk : p.terms / 1024 < 32 ? 32 : blocks_for(p.terms, 1024);
  const int64_t chunks = blocks_for(p.terms, chunk);
  const Scratch<float> scratch(chunks > 1 ? p.outer * chunks * p.inner : 1);
  ReduceScratch s{};
  s.partials = chunks > 1 ? scratch.data : p.y;
  s.chunk = chunk;
  s.chunks = chunks;
  s.factor = chunks > 1 ? 1.0f : p.factor;
  s.wide = (rows ? p.terms : p.inner) % 8 == 0 && aligned_for_eight({p.x, p.z, s.partials});
  const std::string type = suffix("reduce", p.dtype) + "_kernel";
  if (rows) {
    const int64_t blocks = p.outer * chunks;
    launch_kernel(("reduce_rows" + type).c_str(), {blocks}, {threads_for_row(p.terms)}, 0, p, s);
    if (chunks > 1) launch_kernel("reduce_join_rows_kernel", {p.outer}, {kReduceThreads}, 0, p, s);
  } else {
    const int64_t threads = p.outer * chunks * blocks_for(p.inner, 8);
    launch_kernel(("reduce_columns" + type).c_str(), {blocks_for(threads, kReduceThreads)}, {kReduceThreads}, 0, p, s);
    if (chunks > 1)
      launch_kernel("reduce_join_columns_kernel", {blocks_for(p.outer * p.inner, kReduceThreads)}, {kReduceThreads}, 0,
                    p, s);
  }
}

}  // namespace noisewright::cuda

#include "ops/layer_norm/layer_norm_cuda.h"

#include "core/parallel.h"
#include "cuda/elementwise.h"
#include "cuda/kernel_name.h"
#include "cuda/launch.h"
#include "ops/layer_norm/layer_norm.h"

namespace noisewright::cuda {

// Bytes moved: x once, y once.
void layer_norm_forward(const LayerNormParams& p) {
  const bool wide = p.c % 8 == 0 && aligned_for_eight({p.x, p.y, p.weight, p.bias});
  launch_kernel(("layer_norm_forward" + suffix("layerNorm", p.dtype) + "_kernel").c_str(), {p.rows},
                {threads_for_row(p.c)}, 0, p, wide);
}

// Bytes moved: dy and x once for dx and once more for the parameters' gradients, dx once. The floor is dy and x once.
void layer_norm_backward(const LayerNormBackwardParams& p) {
  const std::string type = suffix("layerNorm", p.dtype) + "_kernel";
  if (p.dx) {
    const bool wide = p.c % 8 == 0 && aligned_for_eight({p.dy, p.x, p.dx, p.weight});
    launch_kernel(("layer_norm_input" + type).c_str(), {p.rows}, {threads_for_row(p.c)}, 0, p, wide);
  }
  if (!p.dweight && !p.dbias) return;
  // At most 256 chunks of at least 32 rows: enough blocks to fill a GPU, few enough for one thread to add up.
  const int64_t chunk = p.rows / 256 < 32 ? 32 : blocks_for(p.rows, 256), chunks = blocks_for(p.rows, chunk);
  const Scratch<float> partials(chunks * 2 * p.c);
  const LayerNormScratch s{partials.data, chunk, chunks};
  const int64_t columns = blocks_for(p.c, kLayerNormThreads);
  launch_kernel(("layer_norm_partial" + type).c_str(), {chunks, columns}, {kLayerNormThreads}, 0, p, s);
  launch_kernel("layer_norm_parameters_kernel", {columns}, {kLayerNormThreads}, 0, p, s);
}

}  // namespace noisewright::cuda

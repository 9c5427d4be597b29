#include "cuda/elementwise.h"
#include "cuda/kernel_name.h"
#include "cuda/launch.h"
#include "ops/vae_encode/vae_encode.h"

namespace noisewright::cuda {

// The floor of the whole encoder (arithmetic, not measured on a GPU), at 512 x 512 in 16 bits: 1117 GFLOP, of which
// convolutions 1074, the attention 34, linear layers 9; the largest activation, 128 channels of all pixels, is 67 MB.
// Each convolution's input is read for statistics and once more to be normalised, its output written: about 1.8 GB over
// all layers, 1.2 ms at 1.5 TB/s. A band of normalised rows is 4 MB and stays in the second-level cache. So products
// bound it: 8 to 10 ms on an A100 at 35 to 45 % of its peak, with the shares that conv2d_cuda.cpp and
// attention_large_cuda.cu expect.

// Bytes moved: x once, y once, as many as it has to.
void vae_pixels(const VaePixelsParams& p) {
  launch_kernel(("vae_pixels" + suffix("vaeEncode", p.y_dtype) + "_kernel").c_str(),
                {blocks_for(p.count, kElementsPerBlock)}, {kElementThreads}, 0, p, aligned_for_eight({p.x, p.y}));
}

}  // namespace noisewright::cuda

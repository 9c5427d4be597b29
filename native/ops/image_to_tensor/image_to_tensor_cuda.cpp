#include "cuda/elementwise.h"
#include "cuda/kernel_name.h"
#include "cuda/launch.h"
#include "ops/image_to_tensor/image_to_tensor.h"

namespace noisewright::cuda {

// Bytes moved: the window of x once, y once.
void image_to_tensor(const ImageToTensorParams& p) {
  launch_kernel("image_to_tensor_kernel", {blocks_for(p.width * p.height, kElementThreads)}, {kElementThreads}, 0, p);
}

}  // namespace noisewright::cuda

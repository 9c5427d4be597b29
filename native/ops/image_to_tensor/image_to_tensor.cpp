#include "ops/image_to_tensor/image_to_tensor.h"

#include "core/launch.h"
#include "ops/ops.h"

namespace noisewright {

Tensor image_to_tensor(const Tensor& image, int64_t left, int64_t top, int64_t width, int64_t height, bool flip) {
  CHECK("imageToTensor", image.rank() == 3 && image.size(2) == 3 && image.dtype == DType::kUint8 && image.contiguous(),
        "expected contiguous uint8 [h, w, 3]");
  CHECK("imageToTensor",
        left >= 0 && top >= 0 && width > 0 && height > 0 && left + width <= image.size(1) &&
            top + height <= image.size(0),
        "the window reaches outside the image");
  Tensor y = empty(image, {1, height, width, 3}, DType::kFloat32);
  const ImageToTensorParams shape{nullptr, nullptr, image.size(1), left, top, width, height, flip};
  launch("imageToTensor", {image}, {y}, [=, p = shape]() mutable {
    p.x = image.data_as<uint8_t>();
    p.y = y.data_as<float>();
    run_kernel("imageToTensor", {cpu::image_to_tensor, cuda::image_to_tensor}, p);
  });
  return y;
}

}  // namespace noisewright

// Pictures as the first convolution of the autoencoder reads them. Everything else that vae_encode.cpp calls are
// kernels of other ops.
#pragma once
#include "core/cpu_target.h"
#include "core/dtype.h"

namespace noisewright {

// y = x / 127.5 - 1 for uint8, y = x for float32.
struct VaePixelsParams {
  const void* x;
  void* y;
  int64_t count;
  DType dtype;    // of x: uint8 or float32
  DType y_dtype;  // any float type
};

CPU_KERNEL(vae_pixels, VaePixelsParams)
namespace cuda {
void vae_pixels(const VaePixelsParams&);
}

}  // namespace noisewright

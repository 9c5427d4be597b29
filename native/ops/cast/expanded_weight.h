// Weights that are stored in 8 bits, for kernels that read 16 or 32.
#pragma once
#include "core/tensor.h"

namespace noisewright {

// A weight as kernels can read it: as it is, or expanded into scratch memory for as long as this lives. A whole weight
// is expanded at a time, not the tiles that a product reads: the products stay those of 16 bits, bit for bit, and the
// largest weight of a model is all the memory that it takes. On the device thread.
class ExpandedWeight {
 public:
  // dtype: the type of the activations, which holds every number of float8_e4m3fn. Where `read` is false there are no
  // data.
  ExpandedWeight(const Tensor& weight, DType dtype, bool read = true);
  ~ExpandedWeight();
  ExpandedWeight(const ExpandedWeight&) = delete;
  ExpandedWeight& operator=(const ExpandedWeight&) = delete;

  static DType type_of(const Tensor& weight, DType dtype) { return is_float(weight.dtype) ? weight.dtype : dtype; }
  const void* data() const { return data_; }

 private:
  const void* data_ = nullptr;
  void* memory_ = nullptr;
};

}  // namespace noisewright

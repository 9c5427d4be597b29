// Small things every <op>_cuda.cpp needs: which instantiation of a kernel to ask for, and how many blocks.
#pragma once
#include <cstdint>
#include <initializer_list>
#include <string>

#include "core/check.h"
#include "core/dtype.h"

namespace noisewright::cuda {

// "_f32", "_bf16" or "_f16", as kernels are named.
inline std::string suffix(const char* op, DType dtype) {
  if (dtype == DType::kFloat32) return "_f32";
  if (dtype == DType::kBFloat16) return "_bf16";
  if (dtype == DType::kFloat16) return "_f16";
  fail(ErrorKind::kInternal, op, "has no CUDA kernel for ", name_of(dtype));
}

inline int64_t blocks_for(int64_t count, int64_t per_block) { return (count + per_block - 1) / per_block; }

// Whether gpu::load8 and store8 may be used at multiples of eight elements from all of these; null counts as aligned.
inline bool aligned_for_eight(std::initializer_list<const void*> addresses) {
  for (const void* address : addresses)
    if (reinterpret_cast<uintptr_t>(address) % 16 != 0) return false;
  return true;
}

}  // namespace noisewright::cuda

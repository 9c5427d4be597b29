// The codes of core/quantization.h inside kernels, found by bisection over the midpoints.
#pragma once
#include "core/quantization.h"
#include "cuda/gpu.h"

namespace noisewright::gpu {

// The nearest code of u in [0, 1]; exact midpoints go to the even code. Larger numbers and NaN saturate.
__device__ inline int magnitude_code(const float* midpoints, float u) {
  int code = 0;  // midpoints below u
  for (int step = 128; step > 0; step /= 2)
    if (!(u <= midpoints[code + step - 1])) code += step;
  return code < 255 && u == midpoints[code] ? code + (code & 1) : code;
}

// The values of the signed map mirror each other: code 254 - k holds the negative of code k, apart from 255.
// keep_sign: a negative number never becomes zero.
template <bool keep_sign>
__device__ inline uint8_t signed_code(const float* midpoints, float x) {
  const int code = magnitude_code(midpoints, fabsf(x)), least = keep_sign ? 128 : 127;
  const int mirrored = 254 - (code < least ? least : code);
  return static_cast<uint8_t>(__float_as_uint(x) >> 31 ? (mirrored < 0 ? 0 : mirrored) : code);
}

}  // namespace noisewright::gpu

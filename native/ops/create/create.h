// Tensors made from nothing: one value everywhere, or random numbers that are a function of (seed, stream, index).
#pragma once
#include "core/cpu_target.h"
#include "core/dtype.h"
#include "core/philox.h"

namespace noisewright {

struct FillParams {
  void* y;
  int64_t count;
  double value;
  DType dtype;
};

struct RandomParams {
  float* y;
  int64_t count;
  PhiloxStream stream;  // element i takes word i % 4 of block i / 4 (normals: pairs of words give pairs of elements)
  float low, high;      // uniform only
};

CPU_KERNEL(fill_forward, FillParams)
CPU_KERNEL(random_uniform, RandomParams)
CPU_KERNEL(random_normal, RandomParams)
namespace cuda {
void fill_forward(const FillParams&);
void random_uniform(const RandomParams&);
void random_normal(const RandomParams&);
}  // namespace cuda

}  // namespace noisewright

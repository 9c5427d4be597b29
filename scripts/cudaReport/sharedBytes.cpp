// Prints the shared memory, in bytes, that each kernel is launched with, of those that are launched with any: as the
// host code computes it, from the same headers.
#include <cstdio>
#include <initializer_list>

#include "ops/attention/attention_cuda.h"
#include "ops/matmul/gemm_cuda.h"

using namespace noisewright::cuda;

int main() {
  for (const char* type : {"bf16", "f16"}) {
    for (int size : kHeadSizes) {
      std::printf("attention_forward_%s_%d_kernel %d\n", type, size, forward_shared_bytes(size));
      for (const char* owner : {"keys", "queries"})
        std::printf("attention_backward_%s_%s_%d_kernel %d\n", owner, type, size, backward_shared_bytes(size));
    }
    std::printf("attention_forward_large_%s_kernel %d\n", type, large_shared_bytes(kLargestHead));
  }
  for (const char* math : {"f32", "tf32", "bf16", "f16"})
    for (int rows : {64, 128})
      for (bool a : {false, true})
        for (bool b : {false, true})
          std::printf("gemm_%s_%d_%c%c_kernel %d\n", math, rows, a ? 'k' : 'l', b ? 'k' : 'l',
                      kGemmStages * (gemm_tile_bytes(rows, a) + gemm_tile_bytes(kGemmColumns, b)));
}

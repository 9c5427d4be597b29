// y[i] = row ids[i] of table, continued by added; backward adds the rows of dy into a zeroed float32 table.
#pragma once
#include "core/cpu_target.h"
#include "core/dtype.h"

namespace noisewright {

struct EmbeddingParams {
  const int32_t* ids;  // [count]
  const void* table;   // [rows, width] (forward)
  const void* added;   // [added_rows, width], the rows after those of table (forward)
  void* y;             // [count, width] (forward)
  const void* dy;      // [count, width] (backward)
  float* dtable;       // [rows, width], of the rows from first on (backward)
  int64_t count;
  int64_t first;
  int64_t rows;
  int64_t added_rows;
  int64_t width;
  DType dtype;  // of table and y, or of dy
};

CPU_KERNEL(embedding_forward, EmbeddingParams)
CPU_KERNEL(embedding_backward, EmbeddingParams)
namespace cuda {
void embedding_forward(const EmbeddingParams&);
void embedding_backward(const EmbeddingParams&);
}  // namespace cuda

}  // namespace noisewright

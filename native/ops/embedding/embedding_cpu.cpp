// Forward is a copy of rows. Backward: one task owns a stripe of columns and walks the positions in order, so every row
// is summed by position whatever the thread count.
#include "ops/embedding/embedding.h"

#include "core/parallel.h"
#include "core/simd.h"

namespace noisewright::NOISEWRIGHT_TARGET {

void embedding_forward(const EmbeddingParams& p) {
  const size_t row_bytes = static_cast<size_t>(p.width) * item_size(p.dtype);
  parallel_chunks(p.count, 64, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const int64_t id = p.ids[i];
      const void* source = id < p.rows ? p.table : p.added;
      const int64_t row = id < p.rows ? id : id - p.rows;
      std::memcpy(static_cast<char*>(p.y) + static_cast<size_t>(i) * row_bytes,
                  static_cast<const char*>(source) + static_cast<size_t>(row) * row_bytes, row_bytes);
    }
  });
}

void embedding_backward(const EmbeddingParams& p) {
  parallel_chunks(p.rows * p.width, 1 << 18, [&](int64_t begin, int64_t end) {
    std::memset(p.dtable + begin, 0, static_cast<size_t>(end - begin) * sizeof(float));
  });
  with_float_type(p.dtype, [&](auto* t) {
    const auto* dy = static_cast<decltype(t)>(const_cast<void*>(p.dy));
    parallel_chunks(p.width, 64, [&](int64_t begin, int64_t end) {
      for (int64_t i = 0; i < p.count; i++) {
        const int64_t id = p.ids[i] - p.first;
        if (id < 0 || id >= p.rows) continue;
        float* row = p.dtable + id * p.width;
        for (int64_t c = begin; c < end; c += kLanes) {
          const Vec sum = load_up_to(row + c, end - c) + load_up_to(dy + i * p.width + c, end - c);
          store_up_to(row + c, sum, end - c);
        }
      }
    });
  });
}

}  // namespace noisewright::NOISEWRIGHT_TARGET

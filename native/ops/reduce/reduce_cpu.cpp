// Rows (inner = 1) are cut into chunks of 4096 elements with 16 interleaved sums each; columns into blocks of rows that
// are added four at a time. What the chunks leave is joined as a binary tree over their index. All of this depends on
// the shape alone.
#include "ops/reduce/reduce.h"

#include "core/rows.h"

namespace noisewright::NOISEWRIGHT_TARGET {

namespace {

constexpr int64_t kChunk = 4096;
constexpr int kSums = 16, kVectors = kSums / kLanes;

template <class T>
NW_INLINE Vec load_some(const T* p, int64_t n) {
  return n <= 0 ? zero() : load_up_to(p, n);
}

template <bool times_z, class T>
NW_INLINE Vec term(const T* x, const T* z, int64_t i, int64_t n) {
  if constexpr (times_z)
    return load_some(x + i, n) * load_some(z + i, n);
  else
    return load_some(x + i, n);
}

template <bool times_z, class T>
float chunk_sum(const T* x, const T* z, int64_t first, int64_t count) {
  Vec sums[kVectors];
  for (auto& s : sums) s = zero();
  int64_t i = 0;
  for (; i + kSums <= count; i += kSums)
    for (int v = 0; v < kVectors; v++) sums[v] = sums[v] + term<times_z>(x, z, first + i + v * kLanes, kLanes);
  for (int v = 0; v < kVectors; v++)
    sums[v] = sums[v] + term<times_z>(x, z, first + i + v * kLanes, count - i - v * kLanes);
  float lanes[kSums];
  for (int v = 0; v < kVectors; v++) store(lanes + v * kLanes, sums[v]);
  for (int half = kSums / 2; half > 0; half /= 2)
    for (int l = 0; l < half; l++) lanes[l] += lanes[l + half];
  return lanes[0];
}

// Adds up `count` rows, `stride` apart, into the first, columns [begin, end): pairs, then pairs of pairs; an odd one
// passes up.
NW_INLINE void join(float* rows, int64_t count, int64_t stride, int64_t begin, int64_t end) {
  for (int64_t step = 1; step < count; step *= 2)
    for (int64_t k = 0; k + step < count; k += 2 * step)
      for (int64_t i = begin; i < end; i++) rows[k * stride + i] += rows[(k + step) * stride + i];
}

template <bool times_z, class T>
void sum_rows(const ReduceParams& p) {
  const auto* x = static_cast<const T*>(p.x);
  const auto* z = static_cast<const T*>(p.z);
  const int64_t chunks = (p.terms + kChunk - 1) / kChunk;
  Scratch<float> partials(p.outer * chunks);
  const int64_t per_task = p.terms < kChunk ? kChunk * 4 / p.terms : 4;
  parallel_chunks(p.outer * chunks, per_task, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; task++) {
      const int64_t first = task % chunks * kChunk, count = kChunk < p.terms - first ? kChunk : p.terms - first;
      partials[task] = chunk_sum<times_z>(x, z, task / chunks * p.terms + first, count);
    }
  });
  parallel_chunks(p.outer, 256, [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; o++) {
      join(partials.data + o * chunks, chunks, 1, 0, 1);
      p.y[o] = p.factor * partials[o * chunks];
    }
  });
}

// sums[0..count) = sum over rows of the columns starting at `first`; rows are p.inner long.
template <bool times_z, class T>
void block_sums(const T* x, const T* z, int64_t first, int64_t rows, int64_t stride, float* sums, int64_t count) {
  for_vectors(count, [&](int64_t i, auto n) { store_up_to(sums + i, zero(), n); });
  int64_t r = 0;
  for (; r + 4 <= rows; r += 4)
    for_vectors(count, [&](int64_t i, auto n) {
      const int64_t at = first + r * stride + i;
      const Vec low = term<times_z>(x, z, at, n) + term<times_z>(x, z, at + stride, n);
      const Vec high = term<times_z>(x, z, at + 2 * stride, n) + term<times_z>(x, z, at + 3 * stride, n);
      store_up_to(sums + i, load_up_to(sums + i, n) + (low + high), n);
    });
  for (; r < rows; r++)
    for_vectors(count, [&](int64_t i, auto n) {
      store_up_to(sums + i, load_up_to(sums + i, n) + term<times_z>(x, z, first + r * stride + i, n), n);
    });
}

template <bool times_z, class T>
void sum_columns(const ReduceParams& p) {
  const auto* x = static_cast<const T*>(p.x);
  const auto* z = static_cast<const T*>(p.z);
  constexpr int64_t kColumns = 2048;
  const int64_t width = p.inner < kColumns ? p.inner : kColumns, blocks = (p.inner + width - 1) / width;
  const int64_t tall = 32768 / width, rows = tall < 16 ? 16 : tall, chunks = (p.terms + rows - 1) / rows;
  Scratch<float> partials(p.outer * chunks * p.inner);
  const auto columns = [&](int64_t block) { return width < p.inner - block * width ? width : p.inner - block * width; };
  parallel_for(p.outer * chunks * blocks, [&](int64_t task) {
    const int64_t block = task % blocks, k = task / blocks % chunks, o = task / blocks / chunks;
    const int64_t count = rows < p.terms - k * rows ? rows : p.terms - k * rows;
    block_sums<times_z>(x, z, (o * p.terms + k * rows) * p.inner + block * width, count, p.inner,
                        partials.data + (o * chunks + k) * p.inner + block * width, columns(block));
  });
  parallel_for(p.outer * blocks, [&](int64_t task) {
    const int64_t block = task % blocks, o = task / blocks, begin = block * width, end = begin + columns(block);
    float* first = partials.data + o * chunks * p.inner;
    join(first, chunks, p.inner, begin, end);
    for (int64_t i = begin; i < end; i++) p.y[o * p.inner + i] = p.factor * first[i];
  });
}

template <bool times_z, class T>
void reduce_typed(const ReduceParams& p) {
  p.inner == 1 ? sum_rows<times_z, T>(p) : sum_columns<times_z, T>(p);
}

}  // namespace

void reduce_forward(const ReduceParams& p) {
  with_float_type(p.dtype, [&](auto* t) {
    using T = std::remove_pointer_t<decltype(t)>;
    p.z ? reduce_typed<true, T>(p) : reduce_typed<false, T>(p);
  });
}

}  // namespace noisewright::NOISEWRIGHT_TARGET

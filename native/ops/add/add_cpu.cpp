// Memory bound: reads a and b once, writes y once. The innermost axis is contiguous in a and y; b is contiguous there
// or constant.
#include "ops/add/add.h"

#include <type_traits>

#include "core/parallel.h"
#include "core/simd.h"

namespace noisewright::NOISEWRIGHT_TARGET {

namespace {

template <BinaryOp op>
NW_INLINE Vec combine(Vec a, Vec b) {
  if constexpr (op == BinaryOp::kAdd) return a + b;
  if constexpr (op == BinaryOp::kSub) return a - b;
  if constexpr (op == BinaryOp::kDiv) return a / b;
  return a * b;
}

template <BinaryOp op, class T, class B>
NW_INLINE void add_row(const T* a, const B* b, bool b_constant, T* y, int64_t count) {
  if (b_constant) {
    const Vec constant = broadcast(to_float(*b));
    for (int64_t i = 0; i < count; i += kLanes)
      store_up_to(y + i, combine<op>(load_up_to(a + i, count - i), constant), count - i);
  } else {
    for (int64_t i = 0; i < count; i += kLanes)
      store_up_to(y + i, combine<op>(load_up_to(a + i, count - i), load_up_to(b + i, count - i)), count - i);
  }
}

template <BinaryOp op, class T, class B>
void add_typed(const AddParams& p) {
  const auto* a = static_cast<const T*>(p.a);
  const auto* b = static_cast<const B*>(p.b);
  auto* y = static_cast<T*>(p.y);
  constexpr int64_t kChunk = 16384;  // elements of a task: a long row is cut into pieces, short rows are grouped
  const int64_t inner = p.shape[4], rows = p.shape[0] * p.shape[1] * p.shape[2] * p.shape[3];
  const int64_t pieces = (inner + kChunk - 1) / kChunk, piece = pieces > 1 ? kChunk : inner;
  const int64_t per_task = pieces > 1 ? 1 : (kChunk + inner - 1) / inner;
  parallel_chunks(rows * pieces, per_task, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; task++) {
      const int64_t row = task / pieces, start = task % pieces * piece;
      const int64_t n = piece < inner - start ? piece : inner - start;
      int64_t rest = row, at = start * p.b_strides[4];
      for (int axis = 3; axis >= 0; axis--) {
        at += rest % p.shape[axis] * p.b_strides[axis];
        rest /= p.shape[axis];
      }
      const int64_t first = row * inner + start;
      add_row<op>(a + first, b + at, p.b_strides[4] == 0, y + first, n);
    }
  });
}

}  // namespace

void add_forward(const AddParams& p) {
  with_float_type(p.dtype, [&](auto* t) {
    using T = std::remove_pointer_t<decltype(t)>;
    with_float_type(p.b_dtype, [&](auto* u) {
      using B = std::remove_pointer_t<decltype(u)>;
      switch (p.op) {
        case BinaryOp::kAdd:
          return add_typed<BinaryOp::kAdd, T, B>(p);
        case BinaryOp::kSub:
          return add_typed<BinaryOp::kSub, T, B>(p);
        case BinaryOp::kMul:
          return add_typed<BinaryOp::kMul, T, B>(p);
        case BinaryOp::kDiv:
          return add_typed<BinaryOp::kDiv, T, B>(p);
      }
    });
  });
}

}  // namespace noisewright::NOISEWRIGHT_TARGET

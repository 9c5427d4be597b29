// Memory bound: reads x once, writes y once, in pieces of rows that are transposed within the first-level cache.
#include "ops/store_parameter/store_parameter.h"

#include "core/rows.h"

namespace noisewright::NOISEWRIGHT_TARGET {

namespace {

constexpr int64_t kTaskNumbers = 32768;
constexpr int64_t kTile = 4096;  // numbers that are transposed at a time, of 2 taps or more

template <class From, class To>
NW_INLINE void convert(const From* x, To* y, int64_t count) {
  for_vectors(count, [&](int64_t i, auto n) { store_up_to(y + i, load_up_to(x + i, n), n); });
}

// One row: x[taps][channels] to y[channels][taps].
template <class From, class To>
void transpose_row(const From* x, To* y, int64_t channels, int64_t taps) {
  float tile[kTile], line[kTile / 2];
  const int64_t step = kTile / taps;
  for (int64_t first = 0; first < channels; first += step) {
    const int64_t count = step < channels - first ? step : channels - first;
    for (int64_t t = 0; t < taps; t++) {
      convert(x + t * channels + first, line, count);
      if (taps == 9)  // a stride that is known
        for (int64_t i = 0; i < count; i++) tile[i * 9 + t] = line[i];
      else
        for (int64_t i = 0; i < count; i++) tile[i * taps + t] = line[i];
    }
    convert(tile, y + first * taps, count * taps);
  }
}

template <class From, class To>
void store_typed(const StoreParameterParams& p) {
  const auto* x = static_cast<const From*>(p.x);
  auto* y = static_cast<To*>(p.y);
  if (p.taps == 1) {
    parallel_chunks(p.rows * p.channels, kTaskNumbers,
                    [&](int64_t begin, int64_t end) { convert(x + begin, y + begin, end - begin); });
    return;
  }
  const int64_t row = p.channels * p.taps;
  parallel_chunks(p.rows, (kTaskNumbers + row - 1) / row, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) transpose_row(x + i * row, y + i * row, p.channels, p.taps);
  });
}

}  // namespace

void store_parameter(const StoreParameterParams& p) {
  with_float_type(p.from, [&](auto* t) {
    with_float_type(
        p.to, [&](auto* u) { store_typed<std::remove_pointer_t<decltype(t)>, std::remove_pointer_t<decltype(u)>>(p); });
  });
}

}  // namespace noisewright::NOISEWRIGHT_TARGET

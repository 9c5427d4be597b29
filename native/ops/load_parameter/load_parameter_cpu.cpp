// Every task reads a block of the file that fits the second-level cache, and writes its numbers where they belong.
#include "ops/load_parameter/load_parameter.h"

#include "core/rows.h"

namespace noisewright::NOISEWRIGHT_TARGET {

namespace {

constexpr int64_t kBlockBytes = 512 << 10;
constexpr int64_t kTile = 4096;  // numbers that are transposed at a time, of 2 taps or more

// Rounds to the float of odd mantissa where x lies between two floats: rounded again, to fewer bits, the result is that
// of rounding x once.
NW_INLINE float to_odd(double x) {
  const float f = static_cast<float>(x);
  uint32_t bits;
  std::memcpy(&bits, &f, 4);
  const double back = static_cast<double>(f);
  if (back != x && x == x && !(bits & 1)) bits += (x < 0 ? -x : x) < (x < 0 ? -back : back) ? -1u : 1u;
  float odd;
  std::memcpy(&odd, &bits, 4);
  return odd;
}

template <class From, class To>
NW_INLINE void convert(const From* x, To* y, int64_t count) {
  if constexpr (!std::is_same_v<From, double>)
    for_vectors(count, [&](int64_t i, auto n) { store_up_to(y + i, load_up_to(x + i, n), n); });
  else if constexpr (std::is_same_v<To, float>)
    for (int64_t i = 0; i < count; i++) y[i] = static_cast<float>(x[i]);
  else
    for (int64_t i = 0; i < count; i++) y[i] = from_float<To>(to_odd(x[i]));
}

// To floats that are the result, or are rounded once more to become it.
template <class From>
NW_INLINE void to_floats(const From* x, float* y, int64_t count, bool is_last) {
  if constexpr (std::is_same_v<From, double>) {
    for (int64_t i = 0; i < count; i++) y[i] = is_last ? static_cast<float>(x[i]) : to_odd(x[i]);
  } else {
    convert(x, y, count);
  }
}

// One row: x[channels][taps] to y[taps][channels].
template <class From, class To>
void transpose_row(const From* x, To* y, int64_t channels, int64_t taps) {
  float tile[kTile], line[kTile / 2];
  const int64_t step = kTile / taps;
  for (int64_t first = 0; first < channels; first += step) {
    const int64_t count = step < channels - first ? step : channels - first;
    to_floats(x + first * taps, tile, count * taps, std::is_same_v<To, float>);
    for (int64_t t = 0; t < taps; t++) {
      if (taps == 9)  // a stride that is known
        for (int64_t i = 0; i < count; i++) line[i] = tile[i * 9 + t];
      else
        for (int64_t i = 0; i < count; i++) line[i] = tile[i * taps + t];
      convert(line, y + t * channels + first, count);
    }
  }
}

template <class From, class To>
void load_typed(const LoadParameterParams& p) {
  constexpr auto kItem = static_cast<int64_t>(sizeof(From));
  auto* y = static_cast<To*>(p.y);
  const bool flat = p.taps == 1;
  // What is never divided: a number, or a row that is transposed.
  const int64_t unit = flat ? 1 : p.channels * p.taps, units = flat ? p.rows * p.channels : p.rows;
  const int64_t whole = kBlockBytes / kItem / unit, per_task = whole > 0 ? whole : 1;
  const bool as_it_stands = flat && std::is_same_v<From, To>;
  const int64_t numbers = per_task * unit;
  Scratch<From> blocks(as_it_stands ? 1 : thread_count() * numbers);
  parallel_for((units + per_task - 1) / per_task, [&](int64_t task, int thread) {
    const int64_t first = task * numbers;
    const int64_t count = numbers < units * unit - first ? numbers : units * unit - first;
    if (as_it_stands) {
      p.read(p.file, p.offset + first * kItem, count * kItem, y + first);
      return;
    }
    From* block = blocks.data + thread * numbers;
    if (!p.read(p.file, p.offset + first * kItem, count * kItem, block)) return;
    if (flat)
      convert(block, y + first, count);
    else
      for (int64_t i = 0; i < count; i += unit) transpose_row(block + i, y + first + i, p.channels, p.taps);
  });
}

template <class To>
void load_to(const LoadParameterParams& p) {
  switch (p.from) {
    case FileFloat::kFloat64:
      return load_typed<double, To>(p);
    case FileFloat::kFloat32:
      return load_typed<float, To>(p);
    case FileFloat::kFloat16:
      return load_typed<float16, To>(p);
    case FileFloat::kBFloat16:
      return load_typed<bfloat16, To>(p);
    case FileFloat::kFloat8E4M3:
      return load_typed<float8_e4m3fn, To>(p);
  }
}

}  // namespace

void load_parameter(const LoadParameterParams& p) {
  with_float_type(p.to, [&](auto* t) { load_to<std::remove_pointer_t<decltype(t)>>(p); });
}

}  // namespace noisewright::NOISEWRIGHT_TARGET

// The product is cut into tasks of m_block x n_block results by shape alone. The factor with fewer lines is packed once
// for everyone; each task packs its own part of the other one, K block by K block, so that what the tiles read stays in
// the second-level cache.
#include "ops/matmul/gemm.h"

#include <type_traits>

#include "core/parallel.h"
#include "core/simd.h"
#include "ops/matmul/activation_simd.h"
#include "ops/matmul/gemm_tile.h"

namespace noisewright::NOISEWRIGHT_TARGET {
namespace {

constexpr int64_t kWordsPerBlock = 384;  // of K
constexpr int64_t kRowsPerStep = 96;     // rows of A packed at a time
constexpr int64_t kRowsPerTask = 384;    // when tasks pack B
constexpr int64_t kPanelsPerCall = 16;   // when packing B
constexpr int64_t kWantedTasks = 32;

struct SegmentPlan {
  bool dot;
  int64_t words, block;  // K in words, and how many make a block
  const float* a_packed = nullptr;
  const float* b_packed = nullptr;
};

struct Plan {
  const Gemm* g;
  SegmentPlan segment[2];
  int64_t width;  // of a panel of B
  int64_t panels;
  int64_t m_block, n_block;  // of a task; n_block in panels
  bool many_blocks;          // whether K has more than one block
};

NW_INLINE int element_size(DType dtype) { return dtype == DType::kFloat32 ? 4 : 2; }

NW_INLINE const void* span_of(const GemmFactor& f, const char* base, int64_t outer, int64_t begin, int64_t count,
                              void* buffer) {
  if (f.span) return f.span(f.context, outer, begin, count, buffer);
  return base + (outer * f.stride + begin) * element_size(f.dtype);
}

NW_INLINE const char* batch_base(const GemmFactor& f, int64_t batch) {
  return static_cast<const char*>(f.data) + batch * f.batch_stride * element_size(f.dtype);
}

// W neighbouring lines at a time, for factors in which lines are neighbours.
template <int W>
void pack_k_major(const GemmFactor& f, [[maybe_unused]] const SegmentPlan& s, const char* base, int64_t line,
                  int64_t lines, int64_t word, int64_t words, float* to, int64_t panel_stride) {
  alignas(64) float buffers[2][kPanelsPerCall * kPanel];
  for (int64_t k = 0; k < words; k++, to += W) {
#if defined(__AVX512BF16__)
    if (s.dot) {
      const auto* even = static_cast<const bfloat16*>(span_of(f, base, 2 * (word + k), line, lines, buffers[0]));
      const auto* odd = static_cast<const bfloat16*>(span_of(f, base, 2 * (word + k) + 1, line, lines, buffers[1]));
      pack_across<W>(lines, to, panel_stride, [&](int64_t i, int64_t n) { return pair_words(even + i, odd + i, n); });
      continue;
    }
#endif
    const void* from = span_of(f, base, word + k, line, lines, buffers[0]);
    with_float_type(f.dtype, [&](auto* t) {
      const auto* x = static_cast<const std::remove_pointer_t<decltype(t)>*>(from);
      pack_across<W>(lines, to, panel_stride, [&](int64_t i, int64_t n) { return load_up_to(x + i, n); });
    });
  }
}

// to[panel][words][width]
void pack_b(const Plan& p, int segment, int64_t batch, int64_t panel, int64_t panels, int64_t word, int64_t words,
            float* to) {
  const GemmFactor& f = p.g->segment[segment].b;
  const SegmentPlan& s = p.segment[segment];
  const char* base = batch_base(f, batch);
  if (f.k_major) {
    for (int64_t first = 0; first < panels; first += kPanelsPerCall) {
      const int64_t line = (panel + first) * p.width,
                    lines = least(least(panels - first, kPanelsPerCall) * p.width, p.g->n - line);
      float* at = to + first * words * p.width;
      if (p.width == kPanel)
        pack_k_major<kPanel>(f, s, base, line, lines, word, words, at, words * p.width);
      else
        pack_k_major<kLanes>(f, s, base, line, lines, word, words, at, words * p.width);
    }
    return;
  }
  const int64_t per_word = s.dot ? 2 : 1;
  alignas(64) float buffers[kLanes][kWordsPerBlock];
  for (int64_t first = 0; first < panels * p.width; first += kLanes) {
    const void* lines[kLanes];
    for (int i = 0; i < kLanes; i++) {
      const int64_t line = panel * p.width + first + i;
      lines[i] = line < p.g->n ? span_of(f, base, line, word * per_word, words * per_word, buffers[i]) : nullptr;
    }
    float* at = to + first / p.width * words * p.width + first % p.width;
    if (f.dtype == DType::kFloat32 || s.dot)
      pack_lines<RawWords>(lines, words, at, p.width);
    else if (f.dtype == DType::kBFloat16)
      pack_lines<WidenedWords<bfloat16>>(lines, words, at, p.width);
    else
      pack_lines<WidenedWords<float16>>(lines, words, at, p.width);
  }
}

// to[rows rounded up to whole tiles][words], or [row tile][words][kTileRows] for a factor with k_major
void pack_a(const Plan& p, int segment, int64_t batch, int64_t row, int64_t rows, int64_t word, int64_t words,
            float* to) {
  const GemmFactor& f = p.g->segment[segment].a;
  const SegmentPlan& s = p.segment[segment];
  const char* base = batch_base(f, batch);
  if (f.k_major) {
    pack_k_major<kTileRows>(f, s, base, row, rows, word, words, to, words * kTileRows);
    return;
  }
  const int64_t per_word = s.dot ? 2 : 1;
  for (int64_t r = 0; r < rows; r++, to += words) {
    if (f.dtype == DType::kFloat32 || s.dot) {
      const void* from = span_of(f, base, row + r, word * per_word, words * per_word, to);
      if (from != to) std::memcpy(to, from, static_cast<size_t>(words) * 4);
    } else {
      uint16_t buffer[kWordsPerBlock];
      const void* line = span_of(f, base, row + r, word, words, buffer);
      with_float_type(f.dtype, [&](auto* t) {
        const auto* from = static_cast<const std::remove_pointer_t<decltype(t)>*>(line);
        for (int64_t k = 0; k < words; k += kLanes) store_up_to(to + k, load_up_to(from + k, words - k), words - k);
      });
    }
  }
  std::memset(to, 0, static_cast<size_t>(round_up(rows, kTileRows) - rows) * static_cast<size_t>(words) * 4);
}

NW_INLINE bool is_plain(const Gemm& g) {
  return g.alpha == 1 && !g.bias && g.activation == Activation::kNone && !g.residual && !g.pre;
}

// Finishes `rows` x `columns` sums (row stride sum_stride) that stand at (row, column) of the result.
template <class C>
void finish(const Gemm& g, int64_t batch, int64_t row, int64_t rows, int64_t column, int64_t columns, const float* sums,
            int64_t sum_stride) {
  auto* c = static_cast<C*>(g.c) + batch * g.c_batch_stride + column;
  const bool plain = is_plain(g);
  const Vec alpha = broadcast(g.alpha);
  for (int64_t r = 0; r < rows; r++, sums += sum_stride) {
    const int64_t at = g.rows.offset(row + r);
    C* to = c + at;
    if (plain) {
      for (int64_t j = 0; j < columns; j += kLanes) store_up_to(to + j, load(sums + j), columns - j);
      continue;
    }
    const float* bias = g.bias ? g.bias + (g.bias_rows ? (row + r) / g.bias_rows * g.n : 0) + column : nullptr;
    const C* residual = g.residual ? static_cast<const C*>(g.residual) + (c - static_cast<C*>(g.c)) + at : nullptr;
    C* pre = g.pre ? static_cast<C*>(g.pre) + (c - static_cast<C*>(g.c)) + at : nullptr;
    for (int64_t j = 0; j < columns; j += kLanes) {
      const int64_t n = columns - j;
      Vec v = alpha * load(sums + j);
      if (bias) v = v + load_up_to(bias + j, n);
      if (pre) store_up_to(pre + j, v, n);
      if (g.activation != Activation::kNone) v = activate(g.activation, v);
      if (residual) v = v + load_up_to(residual + j, n);
      store_up_to(to + j, v, n);
    }
  }
}

// Asks for the memory that a tile's results go to, so that it has come when they are there.
NW_INLINE void expect_results(const Gemm& g, int64_t batch, int64_t row, int64_t rows, int64_t column) {
  const int64_t size = element_size(g.c_dtype), start = batch * g.c_batch_stride + column;
  for (int64_t r = 0; r < rows; r++) {
    const int64_t at = (start + g.rows.offset(row + r)) * size;
    for (int64_t byte = 0; byte < kPanel * size; byte += 64) {
      __builtin_prefetch(static_cast<const char*>(g.c) + at + byte, 1);
      if (g.residual) __builtin_prefetch(static_cast<const char*>(g.residual) + at + byte);
    }
  }
}

struct TileRun {
  bool dot, k_major;
  int64_t words;
  int64_t a_stride;
};

NW_INLINE void run_tile(const TileRun& t, int64_t width, int64_t rows, const float* a, const float* b, float* c,
                        int64_t c_stride, bool accumulate) {
  const bool wide = width == kPanel;
  if (t.k_major) {
    if (t.dot && kHasDot)
      wide ? tile<kTileRows, 2, kHasDot, true>(a, 0, b, c, c_stride, t.words, accumulate)
           : tile<kTileRows, 1, kHasDot, true>(a, 0, b, c, c_stride, t.words, accumulate);
    else
      wide ? tile<kTileRows, 2, false, true>(a, 0, b, c, c_stride, t.words, accumulate)
           : tile<kTileRows, 1, false, true>(a, 0, b, c, c_stride, t.words, accumulate);
  } else if (t.dot && kHasDot) {
    wide ? tile_of_rows<2, kHasDot>(rows, a, t.a_stride, b, c, c_stride, t.words, accumulate)
         : tile_of_rows<1, kHasDot>(rows, a, t.a_stride, b, c, c_stride, t.words, accumulate);
  } else {
    wide ? tile_of_rows<2, false>(rows, a, t.a_stride, b, c, c_stride, t.words, accumulate)
         : tile_of_rows<1, false>(rows, a, t.a_stride, b, c, c_stride, t.words, accumulate);
  }
}

struct TaskMemory {
  float* a;     // [kRowsPerStep][kWordsPerBlock]
  float* b;     // [n_block][kWordsPerBlock][width]
  float* sums;  // [m_block in whole tiles][n_block * width]
};

// Whether tiles may read A where it stands: rows of words, at distances that do not fall on the same few cache sets.
NW_INLINE bool reads_in_place(const GemmFactor& f, const SegmentPlan& s) {
  if (f.span || f.k_major || (f.dtype != DType::kFloat32 && !s.dot)) return false;
  const int64_t bytes = f.stride * element_size(f.dtype);
  return bytes % 4 == 0 && bytes % 1024 != 0;
}

// One task: rows [row, row + rows) by panels [panel, panel + panels).
void run_task(const Plan& p, const TaskMemory& memory, int64_t batch, int64_t row, int64_t rows, int64_t panel,
              int64_t panels) {
  const Gemm& g = *p.g;
  alignas(64) float tile_sums[kTileRows * kPanel];
  const int64_t sum_stride = p.many_blocks ? panels * p.width : p.width;
  const bool plain = is_plain(g) && g.c_dtype == DType::kFloat32 && g.rows.size2 == 0;
  bool first = true;
  for (int i = 0; i < g.segments; i++) {
    const SegmentPlan& s = p.segment[i];
    const GemmFactor& factor = g.segment[i].a;
    const bool in_place = !s.a_packed && reads_in_place(factor, s);
    for (int64_t word = 0; word < s.words; word += s.block, first = false) {
      const int64_t words = least(s.block, s.words - word);
      const bool last = i == g.segments - 1 && word + words == s.words;
      if (!s.b_packed) pack_b(p, i, batch, panel, panels, word, words, memory.b);
      const float* b = s.b_packed ? s.b_packed + word * p.panels * p.width + panel * words * p.width : memory.b;
      for (int64_t step = 0; step < rows; step += kRowsPerStep) {
        const int64_t step_rows = least(kRowsPerStep, rows - step);
        // Whole tiles may read A where it stands; the rows of a last, smaller tile are packed with zeros behind them.
        const int64_t stand = in_place ? step_rows / kTileRows * kTileRows : 0;
        const auto* standing =
            reinterpret_cast<const float*>(batch_base(factor, batch) +
                                           ((row + step) * factor.stride) * element_size(factor.dtype)) +
            word;
        if (!s.a_packed && stand < step_rows)
          pack_a(p, i, batch, row + step + stand, step_rows - stand, word, words, memory.a);
        const float* a = s.a_packed ? s.a_packed + word * round_up(g.m, kTileRows) + (row + step) * words : memory.a;
        for (int64_t q = 0; q < panels; q++) {
          const int64_t column = (panel + q) * p.width, columns = least(p.width, g.n - column);
          for (int64_t r = 0; r < step_rows; r += kTileRows) {
            const int64_t tile_rows = least(kTileRows, step_rows - r);
            const bool to_c = plain && tile_rows == kTileRows && columns == p.width;
            float* sums = p.many_blocks ? memory.sums + (step + r) * sum_stride + q * p.width : tile_sums;
            if (to_c)
              sums = static_cast<float*>(g.c) + batch * g.c_batch_stride + (row + step + r) * g.rows.stride2 + column;
            else if (last)
              expect_results(g, batch, row + step + r, tile_rows, column);
            const bool stands = r < stand;
            const TileRun t{s.dot, factor.k_major, words,
                            stands ? factor.stride * element_size(factor.dtype) / 4 : words};
            run_tile(t, p.width, tile_rows, stands ? standing + r * t.a_stride : a + (r - stand) * words,
                     b + q * words * p.width, sums, to_c ? g.rows.stride2 : sum_stride, !first);
            if (!last || to_c) continue;
            with_float_type(g.c_dtype, [&](auto* t) {
              using C = std::remove_pointer_t<decltype(t)>;
              finish<C>(g, batch, row + step + r, tile_rows, column, columns, sums, sum_stride);
            });
          }
        }
      }
    }
  }
}

// Cuts the result into tasks: large ones, unless there would be too few to keep many threads evenly busy.
void choose_blocks(Plan& p, bool rows_are_split) {
  const Gemm& g = *p.g;
  const int64_t all_rows = round_up(g.m, kTileRows);
  int64_t rows = least(all_rows, rows_are_split ? kRowsPerStep : kRowsPerTask),
          panels = rows_are_split ? p.panels : least(p.panels, 4);
  const auto tasks = [&] { return g.batch * blocks_of(all_rows, rows) * blocks_of(p.panels, panels); };
  while (tasks() < kWantedTasks) {
    if (panels > 8)
      panels = (panels + 1) / 2;
    else if (rows > 4 * kTileRows)
      rows = round_up(rows / 2, kTileRows);
    else if (panels > 1)
      panels = (panels + 1) / 2;
    else
      break;
  }
  // Blocks of nearly one size.
  p.m_block = round_up(blocks_of(all_rows, blocks_of(all_rows, rows)), kTileRows);
  p.n_block = blocks_of(p.panels, blocks_of(p.panels, panels));
}

}  // namespace

void gemm(const Gemm& g) {
  if (g.m == 0 || g.n == 0 || g.batch == 0) return;
  Plan p{};
  p.g = &g;
  p.width = g.n > kLanes ? kPanel : kLanes;
  p.panels = blocks_of(g.n, p.width);
  int64_t blocks = 0, all_words = 0, longest = 0;
  for (int i = 0; i < g.segments; i++) {
    const GemmSegment& segment = g.segment[i];
    SegmentPlan& s = p.segment[i];
    s.dot = kHasDot && segment.a.dtype == DType::kBFloat16 && segment.b.dtype == DType::kBFloat16 && segment.k % 2 == 0;
    s.words = s.dot ? segment.k / 2 : segment.k;
    s.block = round_up(blocks_of(s.words, blocks_of(s.words, kWordsPerBlock)), 16);
    blocks += blocks_of(s.words, s.block);
    all_words += s.words;
    longest = s.block > longest ? s.block : longest;
  }
  p.many_blocks = blocks > 1;
  const bool rows_are_split = g.m >= g.n;
  choose_blocks(p, rows_are_split);

  // Pack the smaller factor for everyone, unless each batch has its own.
  const int64_t all_rows = round_up(g.m, kTileRows), all_columns = p.panels * p.width;
  const bool share = g.batch == 1;
  Scratch<float> shared(share ? (rows_are_split ? all_columns : all_rows) * all_words : 1);
  float* at = shared.data;
  for (int i = 0; share && i < g.segments; i++) {
    SegmentPlan& s = p.segment[i];
    const int64_t lines_per_task = rows_are_split ? 2 : kRowsPerStep / 2, lines = rows_are_split ? p.panels : g.m;
    const int64_t k_blocks = blocks_of(s.words, s.block);
    parallel_for(blocks_of(lines, lines_per_task) * k_blocks, [&](int64_t task) {
      const int64_t word = task % k_blocks * s.block, words = least(s.block, s.words - word);
      const int64_t line = task / k_blocks * lines_per_task, count = least(lines_per_task, lines - line);
      if (rows_are_split)
        pack_b(p, i, 0, line, count, word, words, at + word * all_columns + line * words * p.width);
      else
        pack_a(p, i, 0, line, count, word, words, at + word * all_rows + line * words);
    });
    (rows_are_split ? s.b_packed : s.a_packed) = at;
    at += (rows_are_split ? all_columns : all_rows) * s.words;
  }

  const int64_t a_size = kRowsPerStep * longest, b_size = share && rows_are_split ? 0 : p.n_block * longest * p.width;
  const int64_t sums_size = p.many_blocks ? round_up(p.m_block, kTileRows) * p.n_block * p.width : 0;
  const int64_t thread_size = round_up(a_size + b_size + sums_size, 16);
  Scratch<float> local(thread_size * thread_count());
  const int64_t m_blocks = blocks_of(g.m, p.m_block), n_blocks = blocks_of(p.panels, p.n_block);
  parallel_for(g.batch * m_blocks * n_blocks, [&](int64_t task, int thread) {
    const int64_t batch = task / (m_blocks * n_blocks), row = task / n_blocks % m_blocks * p.m_block,
                  panel = task % n_blocks * p.n_block;
    float* memory = local.data + thread * thread_size;
    run_task(p, {memory, memory + a_size, memory + a_size + b_size}, batch, row, least(p.m_block, g.m - row), panel,
             least(p.n_block, p.panels - panel));
  });
}

}  // namespace noisewright::NOISEWRIGHT_TARGET

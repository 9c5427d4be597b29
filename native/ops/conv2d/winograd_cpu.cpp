// Y = AT [sum over channels of (G g GT) * (BT d B)] A for 4x4 output pixels from 6x6 input pixels: 36 multiplications
// for 144. The points are 0, +-1, +-2 and infinity. Three stages, each parallel: transform the input of a group of
// tiles, multiply by 36 weight matrices, transform back. Groups are chosen so that the transformed data stays in the
// last-level cache.
#include "ops/conv2d/winograd.h"

#include <type_traits>

#include "core/parallel.h"
#include "core/simd.h"
#include "ops/conv2d/conv2d.h"
#include "ops/matmul/gemm_tile.h"

namespace noisewright::NOISEWRIGHT_TARGET {
namespace {

constexpr int64_t kGroupNumbers = int64_t{3} << 20;   // transformed input plus output of a group of tiles
constexpr int64_t kWeightNumbers = int64_t{5} << 20;  // transformed weights kept at a time when they are not given
constexpr int64_t kPanelsPerTask = 4;
constexpr int64_t kWordsPerStep = 384;  // of the channels that are summed

// BT d
NW_INLINE void transform_input(const Vec (&d)[6], Vec (&to)[6]) {
  const Vec two = broadcast(2.0f), four = broadcast(4.0f), five = broadcast(5.0f);
  to[0] = fma(four, d[0], fnma(five, d[2], d[4]));
  const Vec a = fnma(four, d[2], d[4]), b = fnma(four, d[1], d[3]);
  to[1] = a + b;
  to[2] = a - b;
  const Vec c = d[4] - d[2], e = two * (d[3] - d[1]);
  to[3] = c + e;
  to[4] = c - e;
  to[5] = fma(four, d[1], fnma(five, d[3], d[5]));
}

// AT m
NW_INLINE void transform_output(const Vec (&m)[6], Vec (&to)[4]) {
  const Vec two = broadcast(2.0f), four = broadcast(4.0f), eight = broadcast(8.0f);
  const Vec a = m[1] + m[2], b = m[1] - m[2], c = m[3] + m[4], d = m[3] - m[4];
  to[0] = m[0] + (a + c);
  to[1] = fma(two, d, b);
  to[2] = fma(four, c, a);
  to[3] = fma(eight, d, b) + m[5];
}

// G g
NW_INLINE void transform_weight(Vec g0, Vec g1, Vec g2, Vec (&to)[6]) {
  const Vec sixth = broadcast(1.0f / 6), twenty_fourth = broadcast(1.0f / 24), twelfth = broadcast(1.0f / 12);
  to[0] = broadcast(0.25f) * g0;
  const Vec even = sixth * (g0 + g2), odd = sixth * g1;
  to[1] = zero() - (even + odd);
  to[2] = odd - even;
  const Vec outer = fma(twenty_fourth, g0, sixth * g2), inner = twelfth * g1;
  to[3] = outer + inner;
  to[4] = outer - inner;
  to[5] = g2;
}

struct Tiling {
  int64_t across, down, count;  // tiles of an image, and of the batch
};

template <class T>
void input_stage(const Winograd& g, const Tiling& tiling, int64_t tile, int64_t slot, int64_t slots, int64_t row_stride,
                 float* to) {
  const int64_t image = tile / (tiling.across * tiling.down), y = tile / tiling.across % tiling.down * 4 - g.top;
  const int64_t x = tile % tiling.across * 4 - g.left;
  const int shift = g.upsample ? 1 : 0;
  const T* pixels[6][6];
  for (int i = 0; i < 6; i++)
    for (int j = 0; j < 6; j++) {
      const int64_t py = y + i, px = x + j;
      const bool inside = py >= 0 && py < g.h << shift && px >= 0 && px < g.w << shift;
      pixels[i][j] =
          inside ? static_cast<const T*>(g.x) + ((image * g.h + (py >> shift)) * g.w + (px >> shift)) * g.ci : nullptr;
    }
  for (int64_t c = 0; c < g.ci; c += kLanes) {
    Vec half[6][6];  // [column][row]
    for (int j = 0; j < 6; j++) {
      Vec d[6];
      for (int i = 0; i < 6; i++) d[i] = pixels[i][j] ? load_up_to(pixels[i][j] + c, g.ci - c) : zero();
      transform_input(d, half[j]);
    }
    for (int i = 0; i < 6; i++) {
      Vec d[6], row[6];
      for (int j = 0; j < 6; j++) d[j] = half[j][i];
      transform_input(d, row);
      for (int j = 0; j < 6; j++) store(to + ((i * 6 + j) * slots + slot) * row_stride + c, row[j]);
    }
  }
}

// Channels [first, last) of one tile; sums holds [36][slots][row_stride] from channel `first`.
template <class T>
void output_stage(const Winograd& g, const Tiling& tiling, int64_t tile, int64_t slot, int64_t slots,
                  int64_t row_stride, int64_t first, int64_t last, const float* sums) {
  const int64_t image = tile / (tiling.across * tiling.down), y = tile / tiling.across % tiling.down * 4;
  const int64_t x = tile % tiling.across * 4;
  const int64_t rows = least(4, g.ho - y), columns = least(4, g.wo - x);
  const float* bias = g.bias ? g.bias + (g.bias_per_image ? image * g.co : 0) : nullptr;
  for (int64_t c = first; c < last; c += kLanes) {
    Vec half[6][4];  // [column][row]
    for (int j = 0; j < 6; j++) {
      Vec m[6];
      for (int i = 0; i < 6; i++) m[i] = load(sums + ((i * 6 + j) * slots + slot) * row_stride + (c - first));
      transform_output(m, half[j]);
    }
    const Vec shift = bias ? load_up_to(bias + c, g.co - c) : zero();
    for (int i = 0; i < rows; i++) {
      Vec m[6], out[4];
      for (int j = 0; j < 6; j++) m[j] = half[j][i];
      transform_output(m, out);
      const int64_t at = ((image * g.ho + y + i) * g.wo + x) * g.co + c;
      for (int j = 0; j < columns; j++) {
        Vec v = out[j] + shift;
        if (g.residual) v = v + load_up_to(static_cast<const T*>(g.residual) + at + j * g.co, g.co - c);
        store_up_to(static_cast<T*>(g.y) + at + j * g.co, v, g.co - c);
      }
    }
  }
}

// 36 results of one kernel for kLanes channels: at(i, j) gives the vector of tap (i, j).
template <class At>
NW_INLINE void transform_kernel(At&& at, Vec (&to)[6][6]) {
  Vec half[3][6];  // [column][row]
  for (int j = 0; j < 3; j++) transform_weight(at(0, j), at(1, j), at(2, j), half[j]);
  for (int i = 0; i < 6; i++) transform_weight(half[0][i], half[1][i], half[2][i], to[i]);
}

// Panels [panel, panel + panels) of the right factors: to[36][panels][k][kPanel].
template <class T>
void weight_stage(const T* weight, int64_t ci, int64_t co, bool backward, int64_t panel, int64_t panels, float* to) {
  const int64_t k = backward ? co : ci, lines = backward ? ci : co, matrix = panels * k * kPanel;
  constexpr int64_t kStep = 4 * kLanes;
  const int64_t steps = blocks_of(k, kStep);
  parallel_for(panels * steps, [&](int64_t task) {
    const int64_t end = least(k, (task % steps + 1) * kStep);
    for (int64_t first = task % steps * kStep; first < end; first += kLanes) {
      const int64_t count = least(kLanes, end - first);
      // The 36 places of a result often fall on the same cache sets, so they are written in longer pieces.
      alignas(64) float results[36][kLanes][kPanel];
      for (int64_t half = 0; half < 2; half++) {
        const int64_t line = (panel + task / steps) * kPanel + half * kLanes;
        Vec taps[9][kLanes];  // taps[t][i]: tap t between k = first + i and the lines
        if (backward) {       // weight[k][taps][line], taps flipped
          for (int64_t i = 0; i < count; i++)
            for (int t = 0; t < 9; t++)
              taps[t][i] =
                  line < lines ? load_up_to(weight + ((first + i) * 9 + 8 - t) * ci + line, ci - line) : zero();
        } else {  // weight[line][taps][k]
          for (int t = 0; t < 9; t++) {
            for (int l = 0; l < kLanes; l++)
              taps[t][l] =
                  line + l < lines ? load_up_to(weight + ((line + l) * 9 + t) * ci + first, ci - first) : zero();
            transpose(taps[t]);
          }
        }
        for (int64_t i = 0; i < count; i++) {
          Vec u[6][6];
          transform_kernel([&](int y, int x) { return taps[y * 3 + x][i]; }, u);
          for (int e = 0; e < 36; e++) store(results[e][i] + half * kLanes, u[e / 6][e % 6]);
        }
      }
      for (int e = 0; e < 36; e++)
        std::memcpy(to + e * matrix + (task / steps * k + first) * kPanel, results[e],
                    static_cast<size_t>(count) * sizeof results[e][0]);
    }
  });
}

void transform_weights(const void* weight, DType dtype, int64_t ci, int64_t co, bool backward, int64_t panel,
                       int64_t panels, float* to) {
  with_float_type(dtype, [&](auto* t) {
    weight_stage(static_cast<const std::remove_pointer_t<decltype(t)>*>(weight), ci, co, backward, panel, panels, to);
  });
}

}  // namespace

void winograd_weights(const WinogradWeightsParams& p) {
  transform_weights(p.weight, p.dtype, p.ci, p.co, p.backward, 0, blocks_of(p.backward ? p.ci : p.co, kPanel), p.to);
}

void winograd(const Winograd& g) {
  const Tiling tiling{blocks_of(g.wo, 4), blocks_of(g.ho, 4), blocks_of(g.wo, 4) * blocks_of(g.ho, 4) * g.n};
  const int64_t panels = blocks_of(g.co, kPanel);
  // Rows one cache line longer than a multiple of 64 bytes never fall on the same cache sets.
  const int64_t in_stride = round_up(g.ci, 16) + 16;
  const int64_t chunk = g.transformed ? panels : least(panels, kWeightNumbers / (36 * kPanel * g.ci) + 1);
  const int64_t out_stride = chunk * kPanel + 16;
  const int64_t wanted = kGroupNumbers / (36 * (in_stride + out_stride)) / kTileRows * kTileRows;
  int64_t group = least(round_up(tiling.count, kTileRows), wanted < 48 ? 48 : wanted);
  group = round_up(blocks_of(tiling.count, blocks_of(tiling.count, group)), kTileRows);
  Scratch<float> inputs(36 * group * in_stride), sums(36 * group * out_stride);
  Scratch<float> weights(g.transformed ? 1 : 36 * chunk * kPanel * g.ci);
  const float* u = g.transformed ? g.transformed : weights.data;

  for (int64_t tile0 = 0; tile0 < tiling.count; tile0 += group) {
    const int64_t tiles = least(group, tiling.count - tile0);
    parallel_for(tiles, [&](int64_t t) {
      with_float_type(g.dtype, [&](auto* x) {
        input_stage<std::remove_pointer_t<decltype(x)>>(g, tiling, tile0 + t, t, group, in_stride, inputs.data);
      });
    });
    for (int64_t panel = 0; panel < panels; panel += chunk) {
      const int64_t count = least(chunk, panels - panel);
      if (!g.transformed && (tile0 == 0 || chunk < panels))
        transform_weights(g.weight, g.weight_dtype, g.backward ? g.co : g.ci, g.backward ? g.ci : g.co, g.backward,
                          panel, count, weights.data);
      const int64_t parts = blocks_of(count, kPanelsPerTask);
      parallel_for(36 * parts, [&](int64_t task) {
        const int64_t e = task / parts, first = task % parts * kPanelsPerTask,
                      last = least(first + kPanelsPerTask, count);
        for (int64_t q = first; q < last; q++)
          for (int64_t k = 0; k < g.ci; k += kWordsPerStep)
            for (int64_t t = 0; t < tiles; t += kTileRows)
              tile<kTileRows, 2, false, false>(inputs.data + (e * group + t) * in_stride + k, in_stride,
                                               u + ((e * count + q) * g.ci + k) * kPanel,
                                               sums.data + (e * group + t) * out_stride + q * kPanel, out_stride,
                                               least(kWordsPerStep, g.ci - k), k > 0);
      });
      const int64_t first = panel * kPanel, last = least(g.co, (panel + count) * kPanel);
      parallel_for(tiles, [&](int64_t t) {
        with_float_type(g.dtype, [&](auto* y) {
          using T = std::remove_pointer_t<decltype(y)>;
          output_stage<T>(g, tiling, tile0 + t, t, group, out_stride, first, last, sums.data);
        });
      });
    }
  }
}

}  // namespace noisewright::NOISEWRIGHT_TARGET

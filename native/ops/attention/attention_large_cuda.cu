// Heads of 161 to 512 channels (the 512 of the VAE): the algorithm of attention_forward_cuda.cu where Q, K and V of 64
// tokens, 192 KB, do not fit into shared memory. A block of eight warps owns 64 queries, which stay there; K and V of
// 64 keys at a time pass through in squares of 64 tokens by 64 channels, two on their way while one is multiplied.
// Warp w owns 32 queries, and of them scores with 16 of the keys and 16 channels of each square of V: 128 sums a
// thread. The four warps of the same queries exchange maxima and weights through shared memory, because each needs the
// weights of all keys. Squares are not padded: chunk c of row r, 16 bytes, lies at c xor r % 8, so that eight rows fall
// on different banks.
//
// Arithmetic, not measured on a GPU. Per query and key: 256 * ceil(size / 64) operations on tensor cores, of which 4 *
// size are needed, one 2^x and about four float32 operations. Bytes: q and o once; k and v once for every 64 queries,
// mostly from the second-level cache, 64 operations a byte: an A100's multiprocessor at its peak of 2048 operations a
// clock would take 32 bytes a clock of the 47 that the cache can give it. Shared memory: 97 KB at 512, one block on a
// multiprocessor, of a GPU with 99 KB too; scores need 3 loads of matrices (12 clocks) for 4 products (8 clocks), V 1
// for 4, hence at most 80 % of the peak. Registers: 128 sums, 16 scores, 32 of weights. Expected: 40 to 50 % of the
// 16-bit peak of an A100's multiprocessor that has a block, 60 to 70 % of a GeForce's, whose tensor cores are four
// times slower. A picture of 512 x 512 has 64 blocks (4096 queries): of an A100's 108 multiprocessors 44 are idle.
#include "ops/attention/attention_tile.cuh"

namespace noisewright::cuda {

namespace {

constexpr int kM = 2, kN = 2;                // pieces of 16 queries by 8 keys, or 8 channels of a square, of a warp
constexpr int kAcross = kSquare / (8 * kN);  // warps that share queries
constexpr int kArea = kSquare * kSquare;

// Eight elements of a square.
template <class T>
__device__ inline T* chunk_of(T* square, int row, int chunk) {
  return square + row * kSquare + ((chunk ^ row % 8) * 8);
}

// 64 tokens of a head and 64 channels, asynchronously; zeros beyond the tokens and channels that there are.
template <class T>
__device__ inline void bring_square(T* square, const T* from, int64_t stride, int tokens, int channels, bool wide) {
  const auto bring = [&](int i, bool asynchronously) {
    const int token = i / 8, chunk = i % 8;
    const bool there = token < tokens && 8 * chunk < channels;
    bring_eight(chunk_of(square, token, chunk), there ? from + token * stride + 8 * chunk : from, there,
                asynchronously);
  };
  if (wide) {
    UNROLL
    for (unsigned i = 0; i < kArea / 8; i += kLargeThreads) bring(i + threadIdx.x, true);
  } else {
    KEEP_LOOP
    for (unsigned i = 0; i < kArea / 8; i += kLargeThreads) bring(i + threadIdx.x, false);
  }
}

// K and V of a head, square by square, tile of keys by tile: all of K, then all of V. All threads of the block call.
template <class T>
struct Stream {
  const T *k, *v;  // the tile's
  T* stages;
  int64_t k_stride, v_stride;
  int seen, keys, size;  // keys from the tile on: those that a query of the block sees, those that there are
  int pieces;            // squares of a head
  bool wide;
  int piece = 0, put = 0, taken = 0;  // the square that is brought next, stages

  __device__ void bring() {
    if (seen > 0) {
      const bool of_k = piece < pieces;
      const int channel = (of_k ? piece : piece - pieces) * kSquare;
      bring_square(stages + put * kArea, (of_k ? k : v) + channel, of_k ? k_stride : v_stride, keys, size - channel,
                   wide);
      put = put + 1 == kSquareStages ? 0 : put + 1;
      piece = piece + 1;
      if (piece == 2 * pieces) {
        piece = 0;
        k += kSquare * k_stride;
        v += kSquare * v_stride;
        seen -= kSquare;
        keys -= kSquare;
      }
    }
    gpu::commit_copies();
  }
  // The next square, there for everybody until the next call.
  __device__ const T* take() {
    gpu::wait_for_copies<kSquareStages - 2>();
    __syncthreads();  // everybody's part of it is there, and the square before is free
    bring();
    const T* square = stages + taken * kArea;
    taken = taken + 1 == kSquareStages ? 0 : taken + 1;
    return square;
  }
};

// scores += dot products of 64 channels of queries [row, row + 16 kM) and keys [column, column + 8 kN).
template <class T>
__device__ inline void add_scores(const T* q, int row, const T* k, int column, gpu::Sums (&scores)[kM][kN]) {
  const int lane = threadIdx.x % 32;
  UNROLL
  for (int chunk = 0; chunk < kSquare / 8; chunk += 2) {
    const auto y = gpu::load_matrices<false>(chunk_of(k, column + lane / 16 * 8 + lane % 8, chunk + lane / 8 % 2));
    UNROLL
    for (int i = 0; i < kM; i++) {
      const auto x = gpu::load_matrices<false>(chunk_of(q, row + 16 * i + lane % 16, chunk + lane / 16));
      gpu::multiply_add<T>(scores[i][0], x, {{y.word[0], y.word[1]}});
      gpu::multiply_add<T>(scores[i][1], x, {{y.word[2], y.word[3]}});
    }
  }
}

// sums += weights of 64 keys times their channels [column, column + 8 kN).
template <class T>
__device__ inline void add_values(const gpu::FragmentA (&weights)[kM][kSquare / 16], const T* v, int column,
                                  gpu::Sums (&sums)[kM][kN]) {
  const int lane = threadIdx.x % 32;
  UNROLL
  for (int k = 0; k < kSquare / 16; k++) {
    const auto y = gpu::load_matrices<true>(chunk_of(v, 16 * k + lane % 16, column / 8 + lane / 16));
    UNROLL
    for (int i = 0; i < kM; i++) {
      gpu::multiply_add<T>(sums[i][0], weights[i][k], {{y.word[0], y.word[1]}});
      gpu::multiply_add<T>(sums[i][1], weights[i][k], {{y.word[2], y.word[3]}});
    }
  }
}

template <class T>
__device__ inline void forward(const AttentionForwardParams& p, bool wide) {
  constexpr int kPieces = kLargestHead / kSquare;
  const AttentionShape& s = p.shape;
  DYN_SHARED(T, q_squares);
  SHARED(float, parts, [kAcross][kSquare]);  // of maxima, and of totals, of each query
  const int pieces = squares_of(s.size), first = static_cast<int>(blockIdx.x) * kSquare;
  T* shared_weights = q_squares + pieces * kArea;
  const int64_t pair = blockIdx.y;
  const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4, warp = threadIdx.x / 32, across = warp % kAcross;
  const int row = warp / kAcross * 16 * kM, column = across * 8 * kN, offset = static_cast<int>(s.keys - s.queries);
  const float c = s.scale * kLog2E;
  int end = static_cast<int>(s.keys);  // keys that the last query sees
  if (s.causal && first + kSquare + offset < end) end = first + kSquare + offset;

  const int keys = static_cast<int>(s.keys), size = static_cast<int>(s.size);
  Stream<T> squares{head_of<const T>(s, p.k, pair),
                    head_of<const T>(s, p.v, pair),
                    shared_weights + kArea,
                    p.k.token_stride,
                    p.v.token_stride,
                    end,
                    keys,
                    size,
                    pieces,
                    wide};
  const T* q = head_of<const T>(s, p.q, pair) + first * p.q.token_stride;
  for (int piece = 0; piece < pieces && end > 0; piece++)
    bring_square(q_squares + piece * kArea, q + piece * kSquare, p.q.token_stride, static_cast<int>(s.queries) - first,
                 size - piece * kSquare, wide);
  KEEP_LOOP
  for (int stage = 0; stage < kSquareStages - 1; stage++) squares.bring();

  gpu::Sums sums[kPieces][kM][kN];
  float maximum[kM][2], total[kM][2];
  UNROLL
  for (int i = 0; i < kM; i++) {
    UNROLL
    for (auto& piece : sums) {
      UNROLL
      for (gpu::Sums& x : piece[i]) x = {};
    }
    UNROLL
    for (int h = 0; h < 2; h++) {
      maximum[i][h] = -infinity();
      total[i][h] = 0;
    }
  }
  for (int key = 0; key < end; key += kSquare) {
    gpu::Sums scores[kM][kN] = {};
    KEEP_LOOP
    for (int piece = 0; piece < pieces; piece++)
      add_scores(q_squares + piece * kArea, row, squares.take(), column, scores);
    if (key + kSquare > s.keys || (s.causal && key + kSquare - 1 > first + offset))
      hide_keys(s, first + row + g, key + column + 2 * t, scores);
    UNROLL
    for (int i = 0; i < kM; i++) {
      UNROLL
      for (int h = 0; h < 2; h++) {
        const float most = reduce_quad<gpu::Max>(largest(scores[i], h));
        if (t == 0) parts[across][row + 16 * i + 8 * h + g] = most;
      }
    }
    __syncthreads();  // the maxima are there
    UNROLL
    for (int i = 0; i < kM; i++) {
      UNROLL
      for (int h = 0; h < 2; h++) {
        const int query = row + 16 * i + 8 * h + g;
        float most = maximum[i][h];
        UNROLL
        for (auto& part : parts) most = gpu::Max::join(most, part[query]);
        const float factor = weigh_row(scores[i], h, c, most, maximum[i][h], total[i][h]);
        UNROLL
        for (int j = 0; j < kN; j++)
          store_two(chunk_of(shared_weights, query, column / 8 + j) + 2 * t, scores[i][j].v[2 * h],
                    scores[i][j].v[2 * h + 1]);
        UNROLL
        for (auto& piece : sums) {
          UNROLL
          for (gpu::Sums& x : piece[i]) {
            UNROLL
            for (int e = 2 * h; e < 2 * h + 2; e++) x.v[e] = x.v[e] * factor;
          }
        }
      }
    }
    gpu::FragmentA weights[kM][kSquare / 16];
    UNROLL
    for (int piece = 0; piece < kPieces; piece++) {
      if (piece >= pieces) break;
      const T* v = squares.take();  // the first time, the weights are there too
      UNROLL
      for (int i = 0; i < kM && piece == 0; i++) {
        UNROLL
        for (int k = 0; k < kSquare / 16; k++)
          weights[i][k] = gpu::load_matrices<false>(
              chunk_of(shared_weights, row + 16 * i + threadIdx.x % 16, 2 * k + threadIdx.x % 32 / 16));
      }
      add_values(weights, v, column, sums[piece]);
    }
  }

  UNROLL
  for (int i = 0; i < kM; i++) {
    UNROLL
    for (int h = 0; h < 2; h++) {
      const float sum = reduce_quad<gpu::Sum>(total[i][h]);
      if (t == 0) parts[across][row + 16 * i + 8 * h + g] = sum;
    }
  }
  __syncthreads();  // the totals are there
  T* o = head_of<T>(s, p.o, pair);
  UNROLL
  for (int i = 0; i < kM; i++) {
    UNROLL
    for (int h = 0; h < 2; h++) {
      const int at = row + 16 * i + 8 * h + g, query = first + at;
      if (query >= s.queries) continue;
      float sum = 0;
      UNROLL
      for (auto& part : parts) sum = sum + part[at];
      const float inverse = sum == 0 ? 0 : 1 / sum;  // of a NaN: NaN
      if (t == 0 && across == 0)
        p.lse[pair * s.queries + query] = sum == 0 ? infinity() : maximum[i][h] * s.scale + logf(sum);
      UNROLL
      for (int j = 0; j < kPieces * kN; j++) {
        const int channel = j / kN * kSquare + column + j % kN * 8;
        const gpu::Sums& x = sums[j / kN][i][j % kN];
        if (channel < s.size)
          store_two(o + int64_t{query} * p.o.token_stride + channel + 2 * t, x.v[2 * h] * inverse,
                    x.v[2 * h + 1] * inverse);
      }
    }
  }
}

}  // namespace

#define LARGE_KERNEL(type, T)                                                                 \
  extern "C" __global__ void __launch_bounds__(kLargeThreads)                                 \
      attention_forward_large_##type##_kernel(AttentionForwardParams p, AttentionWork work) { \
    forward<T>(p, work.wide);                                                                 \
  }                                                                                           \
  KERNEL(attention_forward_large_##type##_kernel)

LARGE_KERNEL(bf16, bfloat16);
LARGE_KERNEL(f16, float16);

}  // namespace noisewright::cuda

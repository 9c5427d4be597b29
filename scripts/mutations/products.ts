import type { MutatedFile } from './mutation.ts'

export const products: readonly MutatedFile[] = [
  {
    file: 'ops/matmul/gemm_cuda.cu',
    tests: ['ops/matmul', 'ops/linear', 'ops/conv2d', 'cuda/products'],
    mistakes: {
      'product: tiles are read without a barrier': [
        "      __syncthreads();  // everybody's part of this step is there, and the tiles of the last step are free\n",
        '',
      ],
      'product: one stage of copies is not waited for': [
        'wait_for_copies<kGemmStages - 2>()',
        'wait_for_copies<kGemmStages - 1>()',
      ],
      'product: the low-rank branch takes tiles still in use': [
        '    gpu::wait_for_copies<0>();\n    __syncthreads();\n',
        '    gpu::wait_for_copies<0>();\n',
      ],
      'product: the first part of a split sum is dropped': [
        'for (int64_t split = 0; split < p.splits; split++)',
        'for (int64_t split = 1; split < p.splits; split++)',
      ],
      'product: the sum ends one early': ['? k + p.k_per_split : p.k;', '? k + p.k_per_split : p.k - 1;'],
      'product: sums are read before they are put': ['put_sums(tile);\n    __syncthreads();', 'put_sums(tile);'],
      'product: two rows of a piece change places': [
        'to[0] = sums[i / 2][j].v[i % 2 * 2];',
        'to[0] = sums[i / 2][j].v[2 - i % 2 * 2];',
      ],
      'product: the low-rank branch is in every part of a split sum': [
        'if (p.low_k && split == p.splits - 1)',
        'if (p.low_k)',
      ],
      'product: the second of two columns has the bias of the first': [
        'gpu::load_any(p.bias, p.bias_dtype, column + i)',
        'gpu::load_any(p.bias, p.bias_dtype, column)',
      ],
      'product: every image has the first one’s bias': [
        'static_cast<uint32_t>(p.rows_per_bias) * p.n : int64_t{0}',
        'static_cast<uint32_t>(p.rows_per_bias) * 0 : int64_t{0}',
      ],
    },
  },
  {
    file: 'ops/matmul/gemm_tile.cuh',
    tests: ['ops/conv2d', 'ops/matmul', 'cuda/products'],
    mistakes: {
      'tile: a copy is one element short': [
        'static_cast<unsigned>(left * sizeof(T))',
        'static_cast<unsigned>((left ? left - 1 : 0) * sizeof(T))',
      ],
      'tile: lines that are neighbours are not transposed': [
        'gpu::load_matrices<true>(b + (k + low)',
        'gpu::load_matrices<false>(b + (k + low)',
      ],
      'tile: above an image there are no zeros': ['if (y < 0 || y >= p.limit_h', 'if (y >= p.limit_h'],
      'tile: taps are not mirrored for the gradient of the input': [
        'static_cast<int32_t>(y) * p.direction,',
        'static_cast<int32_t>(y),',
      ],
      'tile: an enlarged image is read at its full width': ['(x >> p.shift))', 'x)'],
    },
  },
  {
    file: 'ops/linear/linear_cuda.cu',
    tests: ['ops/linear'],
    mistakes: {
      'linear: the last slope is left out': ['+ first, x, p.wide, left)', '+ first, x, p.wide, left - 1)'],
    },
  },
  {
    file: 'ops/matmul/column_sums_cuda.cu',
    tests: ['ops/linear', 'ops/conv2d', 'cuda/products'],
    mistakes: {
      'column sums: a row of each chunk is dropped': ['row < end; row++', 'row + 1 < end; row++'],
      'column sums: chunks lie a column apart': [
        'sum = sum + s.partial[(group * s.chunks + chunk) * s.columns + column];',
        'sum = sum + s.partial[group * s.chunks * s.columns + chunk + column];',
      ],
    },
  },
  {
    file: 'ops/conv2d/conv2d_cuda.cu',
    tests: ['ops/conv2d', 'cuda/products'],
    mistakes: {
      'squares of an enlarged image begin a pixel to the right': ['kx = x - 1 + k % 2', 'kx = x + k % 2'],
    },
  },
]

import type { MutatedFile } from './mutation.ts'

export const attention: readonly MutatedFile[] = [
  {
    file: 'ops/attention/attention_forward_cuda.cu',
    tests: ['ops/attention', 'cuda/attention'],
    mistakes: {
      'attention: V is read before it is there': [
        'gpu::wait_for_copies<0>();\n    __syncthreads();  // V is there, K is free',
        'gpu::wait_for_copies<1>();\n    __syncthreads();  // V is there, K is free',
      ],
      'attention: K is overwritten while it is read': ['    __syncthreads();  // V is there, K is free\n', ''],
      'attention: all heads go to the first one’s place': [
        'head_of<T>(s, p.o, pair)',
        'head_of<T>(s, p.o, pair / s.heads * s.heads)',
      ],
      'attention: the log-sum-exp lacks the scale': [
        'maximum[i][h] * s.scale + logf(sum)',
        'maximum[i][h] + logf(sum)',
      ],
    },
  },
  {
    file: 'ops/attention/attention_tile.cuh',
    tests: ['ops/attention', 'cuda/attention'],
    mistakes: {
      'attention: channels of the next head are not masked': [
        'first + token < end && channel < size',
        'first + token < end',
      ],
      'attention: keys past the last one are seen': ['if (at >= s.keys || (s.causal', 'if ((s.causal'],
      'attention: a query does not see its own key': [
        's.causal && at > seen_by + offset',
        's.causal && at >= seen_by + offset',
      ],
      'attention: a sum is not rescaled to a new maximum': ['total * factor', 'total'],
    },
  },
  {
    file: 'ops/attention/attention_large_cuda.cu',
    tests: ['cuda/attention'],
    mistakes: {
      'attention, large heads: a square is read before it is there': [
        'wait_for_copies<kSquareStages - 2>',
        'wait_for_copies<kSquareStages - 1>',
      ],
      'attention, large heads: a square is overwritten while it is read': [
        "    __syncthreads();  // everybody's part of it is there, and the square before is free\n",
        '',
      ],
      'attention, large heads: maxima are read before they are there': [
        '    __syncthreads();  // the maxima are there\n',
        '',
      ],
      'attention, large heads: totals are read before they are there': [
        '  __syncthreads();  // the totals are there\n',
        '',
      ],
      'attention, large heads: a total misses keys of other warps': ['sum + part[at]', 'sum + parts[0][at]'],
      'attention, large heads: sums are not rescaled to a new maximum': ['x.v[e] * factor', 'x.v[e]'],
      'attention, large heads: channels of the next head are not masked': [
        'token < tokens && 8 * chunk < channels',
        'token < tokens',
      ],
      'attention, large heads: every tile has the first values': ['        v += kSquare * v_stride;\n', ''],
      'attention, large heads: every tile has the first keys': ['        k += kSquare * k_stride;\n', ''],
      'attention, large heads: later keys are seen': [' || (s.causal && key + kSquare - 1 > first + offset)', ''],
      'attention, large heads: the log-sum-exp lacks the scale': [
        'maximum[i][h] * s.scale + logf(sum)',
        'maximum[i][h] + logf(sum)',
      ],
    },
  },
  {
    file: 'ops/attention/attention_backward_cuda.cu',
    tests: ['ops/attention', 'cuda/attention'],
    mistakes: {
      'attention backward: tiles are overwritten while they are read': [
        '    __syncthreads();  // this tile is there, the one before is free\n',
        '',
      ],
      'attention backward: the scale is missing': ['own + row, sums1, s.scale)', 'own + row, sums1, 1)'],
      'attention backward: row sums are not subtracted': [
        'weight * (products[0][j].v[e] - d[which])',
        'weight * products[0][j].v[e]',
      ],
      'attention backward: the last slice is dropped': ['slice < work.slices', 'slice + 1 < work.slices'],
      'attention backward: half of the channels are left out of row sums': ['channel += 32', 'channel += 64'],
    },
  },
  {
    file: 'ops/attention/attention_rows_cuda.cu',
    tests: ['ops/attention', 'cuda/attention'],
    mistakes: {
      'attention by rows: hidden keys have weights': [
        'key < visible ? expf(scores[key] - reference) * inverse : 0.0f',
        'expf(scores[key] - reference) * inverse',
      ],
      'attention by rows: a query sees the key after its own': ['s.keys - s.queries + 1;', 's.keys - s.queries + 2;'],
    },
  },
]

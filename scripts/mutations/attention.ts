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
      'attention: keys past the last one are seen': ['if (at >= s.keys || (s.causal', 'if ((s.causal'],
      'attention: a query does not see its own key': [
        's.causal && at > query + offset',
        's.causal && at >= query + offset',
      ],
      'attention: a sum is not rescaled to a new maximum': ['total[i][h] * factor', 'total[i][h]'],
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

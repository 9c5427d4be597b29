import type { MutatedFile } from './mutation.ts'

export const norms: readonly MutatedFile[] = [
  {
    file: 'ops/group_norm/group_norm_cuda.cu',
    tests: ['ops/groupNormSilu', 'cuda/ops'],
    mistakes: {
      'group norm: the last chunk is as long as the others': ['rest < s.chunk ? rest : s.chunk', 's.chunk'],
      'group norm: chunks are joined as if their means were one': [
        'shift * (2.0 * static_cast<double>(chunk(k)[1]) + elements(k) * shift)',
        '0.0 * shift',
      ],
      'group norm: a channel past the last does not become the first': [
        'if (++channel == channels) channel = 0;',
        '++channel;',
      ],
      'group norm backward: the slope lacks a factor': ['scale * rstd * b', 'scale * b'],
      'group norm backward: the slope of SiLU is wrong': ['fmaf(z, 1.0f - sig, 1.0f)', 'fmaf(z, sig, 1.0f)'],
    },
  },
  {
    file: 'ops/layer_norm/layer_norm_cuda.cu',
    tests: ['ops/layerNorm'],
    mistakes: {
      'layer norm: zeros past the end count as deviations': [
        'for (int k = 0; k < 8 && i + k < p.c; k++) squares',
        'for (int k = 0; k < 8; k++) squares',
      ],
      'layer norm backward: the mean of the gradient stays': [
        'fmaf(-xhat.v[k], b, g.v[k] - a)',
        'fmaf(-xhat.v[k], b, g.v[k])',
      ],
      'layer norm backward: the weight gets the gradient of the bias': [
        's.partials[(k * 2 + 1) * p.c + channel]',
        's.partials[k * 2 * p.c + channel]',
      ],
    },
  },
  {
    file: 'ops/softmax/softmax_cuda.cu',
    tests: ['ops/softmax'],
    mistakes: {
      'softmax: elements past the end are in the sum': [
        'k < 8 && i + k < p.columns; k++) sum += expf',
        'k < 8; k++) sum += expf',
      ],
      'softmax backward: the dot product is not subtracted': ['v.v[k] * (g.v[k] - dot)', 'v.v[k] * g.v[k]'],
    },
  },
  {
    file: 'cuda/reduce.cuh',
    tests: ['ops/layerNorm'],
    mistakes: {
      'block sum: parts are read without a barrier': [
        '  if (lane == 0) part[warp] = x;\n  __syncthreads();\n',
        '  if (lane == 0) part[warp] = x;\n',
      ],
    },
  },
  {
    file: 'ops/reduce/reduce_cuda.cu',
    tests: ['ops/sum', 'ops/mean'],
    mistakes: {
      'sum: the last row of a chunk is dropped': ['for (; row < rows; row++) {', 'for (; row + 1 < rows; row++) {'],
      'mean: rows are not divided': [
        'p.y[blockIdx.x] = p.factor * static_cast<float>(total)',
        'p.y[blockIdx.x] = static_cast<float>(total)',
      ],
    },
  },
  {
    file: 'ops/element_loss/element_loss_cuda.cu',
    tests: ['ops/elementLoss'],
    mistakes: {
      'loss: every sample has the mask of the first': [
        'gpu::divide(start + k, p.channels)',
        'gpu::divide(in_sample + k, p.channels)',
      ],
      'loss backward: Huber lacks its factor': [
        'ElementLoss::kHuber ? c * slope : slope',
        'ElementLoss::kHuber ? slope : slope',
      ],
      'loss backward: samples have no weights': ['p.weights ? p.weights[sample] : 1.0f', 'p.weights ? 1.0f : 1.0f'],
    },
  },
  {
    file: 'cuda/entries.cuh',
    tests: ['cuda/norms'],
    mistakes: {
      'entries: a tensor’s first task belongs to the one before': ['first_task <= task', 'first_task < task'],
    },
  },
  {
    file: 'ops/gradient_norm/gradient_norm_cuda.cu',
    tests: ['cuda/norms'],
    mistakes: {
      'gradient norm: the multiple stays in the factor': [
        '(coefficient < 1.0 ? coefficient : 1.0) / p.multiple',
        'coefficient < 1.0 ? coefficient : 1.0',
      ],
    },
  },
  {
    file: 'ops/limit_norms/limit_norms_cuda.cu',
    tests: ['cuda/norms'],
    mistakes: {
      'limited norms: what is not a number is not reported': ['a != a || a > b ? a : b', 'a > b ? a : b'],
      'limited norms: each factor takes the whole scale': ['1.0 / static_cast<double>(product.factor_count)', '1.0'],
    },
  },
]

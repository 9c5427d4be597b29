import type { MutatedFile } from './mutation.ts'

export const elements: readonly MutatedFile[] = [
  {
    file: 'ops/add/add_cuda.cu',
    tests: ['ops/add'],
    mistakes: {
      'add: the last element of an odd length is left out': [
        '+ i, a, true, count - i)',
        '+ i, a, true, count - i - 1)',
      ],
      'add: an axis has the stride of the next': [
        'rest % p.shape[axis] * p.b_strides[axis]',
        'rest % p.shape[axis] * p.b_strides[axis < 4 ? axis + 1 : 4]',
      ],
    },
  },
  {
    file: 'ops/accumulate/accumulate_cuda.cu',
    tests: ['cuda/elements'],
    mistakes: { 'accumulate: what was there is lost': ['before.v[k] + x.v[k]', 'x.v[k]'] },
  },
  {
    file: 'ops/activation/activation_cuda.cu',
    tests: ['ops/geglu', 'ops/quickGelu'],
    mistakes: {
      'geglu backward: the gate is missing': ['du.v[k] * (gate.v[k] * cdf)', 'du.v[k] * cdf'],
      'quick gelu backward: the slope is that of silu': [
        'kind == Activation::kSilu ? x : 1.702f * x, s = sigmoid(z)',
        'kind == Activation::kSilu ? x : x, s = sigmoid(z)',
      ],
    },
  },
  {
    file: 'ops/add_noise/add_noise_cuda.cu',
    tests: ['ops/addNoise'],
    mistakes: { 'velocity has the wrong sign': ['Shares{-remainder, signal}', 'Shares{remainder, signal}'] },
  },
  {
    file: 'ops/cast/cast_cuda.cu',
    tests: ['cuda/elements'],
    mistakes: { 'cast: numbers below the lowest are not clamped': ['x < low ? low : x > high', 'x > high'] },
  },
  {
    file: 'ops/contiguous/contiguous_cuda.cu',
    tests: ['cuda/elements'],
    mistakes: {
      'copy: tiles are read without a barrier': ['  __syncthreads();\n', ''],
      'copy: tiles are not transposed': ['= tile[lane][k]', '= tile[k][lane]'],
      'copy: a row of a tile past the end is written': ['r0 + k < rows && c0 + lane', 'r0 + k <= rows && c0 + lane'],
    },
  },
  {
    file: 'ops/create/create_cuda.cu',
    tests: ['cuda/elements'],
    mistakes: {
      'normal numbers: both halves have one counter': [
        'static_cast<uint64_t>(i / 4 + half));\n    float* v',
        'static_cast<uint64_t>(i / 4));\n    float* v',
      ],
      'normal numbers: two words change places': [
        'normals_of(block.v[2], block.v[3],',
        'normals_of(block.v[3], block.v[2],',
      ],
    },
  },
  {
    file: 'ops/dropout/dropout_cuda.cu',
    tests: ['ops/dropout'],
    mistakes: {
      'dropout: the counter goes half as fast': [
        'static_cast<uint64_t>(i / 4 + half)',
        'static_cast<uint64_t>(i / 8 + half)',
      ],
      'dropout: what is kept is not scaled': ['x.v[4 * half + k] * p.factor', 'x.v[4 * half + k]'],
    },
  },
  {
    file: 'ops/embedding/embedding_cuda.cu',
    tests: ['ops/embedding'],
    mistakes: {
      'embedding backward: positions past the end are looked at': ['mine < p.count && p.ids[mine]', 'p.ids[mine]'],
      'embedding backward: a gradient is of the position before': [
        'static_cast<const T*>(p.dy) + position * p.width',
        'static_cast<const T*>(p.dy) + (position ? position - 1 : 0) * p.width',
      ],
    },
  },
  {
    file: 'ops/image_to_tensor/image_to_tensor_cuda.cu',
    tests: ['cuda/data'],
    mistakes: { 'a mirrored picture begins a pixel off': ['p.width - 1 - at.remainder', 'p.width - at.remainder'] },
  },
  {
    file: 'ops/lookup_table/lookup_table_cuda.cu',
    tests: ['cuda/data'],
    mistakes: { 'a table’s upper half is not looked at': ['word >> shift & 255', 'word >> shift & 127'] },
  },
  {
    file: 'ops/resize_image/resize_image_cuda.cu',
    tests: ['cuda/data'],
    mistakes: {
      'lanczos cuts instead of rounding': ['kTaps == 2 ? 2 : 1 << 21', 'kTaps == 2 ? 2 : 0'],
      'area: a column has the weight of the next': [
        '* p.columns.weights[k]',
        '* p.columns.weights[k + 1 < p.columns.start[p.width] ? k + 1 : k]',
      ],
    },
  },
  {
    file: 'ops/offset_noise/offset_noise_cuda.cu',
    tests: ['ops/offsetNoise'],
    mistakes: { 'offset noise: the wrong pair of words': ['i % 4 >= 2', 'i % 2 >= 1'] },
  },
  {
    file: 'ops/posterior_sample/posterior_sample_cuda.cu',
    tests: ['ops/posteriorSample'],
    mistakes: { 'posterior: the deviation is the variance': ['expf(0.5f * (low', 'expf((low'] },
  },
  {
    file: 'ops/slice/slice_cuda.cu',
    tests: ['ops/slice'],
    mistakes: { 'slice backward: a column too many': ['column < p.middle', 'column <= p.middle'] },
  },
  {
    file: 'ops/store_parameter/store_parameter_cuda.cu',
    tests: ['cuda/elements'],
    mistakes: { 'store: taps have the stride of channels': ['gpu::load(x + tap * p.channels)', 'gpu::load(x + tap)'] },
  },
  {
    file: 'ops/timestep_embedding/timestep_embedding_cuda.cu',
    tests: ['ops/timestepEmbedding'],
    mistakes: {
      'timestep embedding: sines come first': ['y[0] = static_cast<float>(cos', 'y[0] = static_cast<float>(sin'],
    },
  },
  {
    file: 'ops/optimizer_step/optimizer_step_cuda.cu',
    tests: ['cuda/optimizerRules', 'cuda/ops'],
    mistakes: {
      'optimizer: tables are read without a barrier': [
        'tables->unsigned_midpoint[thread];\n    __syncthreads();',
        'tables->unsigned_midpoint[thread];',
      ],
      'optimizer: words of codes are read without a barrier': [
        '[block * kCodeWords + word];\n      __syncthreads();',
        '[block * kCodeWords + word];',
      ],
      'optimizer: signed states use the unsigned table': [
        '? table[0].signed_value : table[0].unsigned_value',
        '? table[0].unsigned_value : table[0].unsigned_value',
      ],
      'optimizer: the sum of a block’s states is its scale': [
        'gpu::reduce_block<gpu::Max>(fabsf(s[k].v), part)',
        'gpu::reduce_block<gpu::Sum>(fabsf(s[k].v), part)',
      ],
      'optimizer: gradients are not clipped': ['float g = raw * scale', 'float g = raw'],
    },
  },
  {
    file: 'ops/adaptive_step/adaptive_step_cuda.cu',
    tests: ['cuda/adaptiveStep'],
    mistakes: {
      'adaptive: groups weigh alike': ['(Rule::kUnweighted >> k & 1 ? 1 : c.e.group.factor) * total', 'total'],
      'adaptive: a thread’s sums miss the next four': [
        'i += kAdaptiveThreads * 4) body',
        'i += kAdaptiveThreads * 8) body',
      ],
      'adaptive: the rule is read without a barrier': [
        'Rule(p.settings, e.group, now);\n  __syncthreads();',
        'Rule(p.settings, e.group, now);',
      ],
    },
  },
  {
    file: 'ops/tensor_step/tensor_step_cuda.cu',
    tests: ['cuda/tensorwise'],
    mistakes: {
      'tensor step: the sum of sizes is that of gradients': ['second += w.sums[2 * i + 1]', 'second += w.sums[2 * i]'],
      'tensor step: the first moment is that of before': [
        'gpu::store_four(moment + at, u, b.wide, left)',
        'gpu::store_four(moment + at, before, b.wide, left)',
      ],
    },
  },
  {
    file: 'ops/muon_step/muon_step_cuda.cu',
    tests: ['cuda/tensorwise'],
    mistakes: {
      'muon: every matrix takes the norm of the first': [
        'batch.sums + int64_t{blockIdx.y} * gridDim.x',
        'batch.sums + int64_t{blockIdx.y} * 0',
      ],
      'muon: no look ahead': ['nesterov ? fmaf(keep, m.v[k], fresh) : m.v[k]', 'm.v[k]'],
    },
  },
  {
    file: 'ops/shift_hue/shift_hue_cuda.cu',
    tests: ['cuda/data'],
    mistakes: { 'hue: bytes of a word change places': ['word[i / 4] >> i % 4 * 8', 'word[i / 4] >> (3 - i % 4) * 8'] },
  },
  {
    file: 'cuda/stepped_param.cuh',
    tests: ['cuda/optimizerRules', 'cuda/ops'],
    mistakes: {
      'stepped parameter: elements of even places share a random word': ['i % 4 < 2 ? low : high', 'low'],
      'stepped parameter: chance has half of its range': ['bits += random & 0xFFFFu', 'bits += random & 0x7FFFu'],
    },
  },
  {
    file: 'ops/quantize_blockwise/quantize_blockwise_cuda.cu',
    tests: ['cuda/elements'],
    mistakes: {
      'codes: zero is the lowest code': ['static_cast<uint8_t>(tables->zero)', 'static_cast<uint8_t>(0)'],
      'codes: numbers are made with the scale of the first block': ['* p.absmax[blockIdx.x];', '* p.absmax[0];'],
    },
  },
  {
    file: 'cuda/quantization.cuh',
    tests: ['cuda/elements'],
    mistakes: {
      'codes: the search leaves out the upper half': ['int step = 128; step > 0', 'int step = 64; step > 0'],
      'codes: the negative of a code is one off': ['mirrored = 254 - (code', 'mirrored = 255 - (code'],
    },
  },
]

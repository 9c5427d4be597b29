/** Everything that memory, not arithmetic, sets the pace of: norms, activations, losses, noise, copies. */
import { add } from '../ops/add.ts'
import { addNoise, velocity } from '../ops/addNoise.ts'
import { cast } from '../ops/cast.ts'
import { concatBatch } from '../ops/concatBatch.ts'
import { concatChannels } from '../ops/concatChannels.ts'
import { contiguous } from '../ops/contiguous.ts'
import { div } from '../ops/div.ts'
import { dropout } from '../ops/dropout.ts'
import { elementLoss } from '../ops/elementLoss.ts'
import { embedding } from '../ops/embedding.ts'
import { geglu } from '../ops/geglu.ts'
import { gelu } from '../ops/gelu.ts'
import { groupNorm } from '../ops/groupNorm.ts'
import { groupNormSilu } from '../ops/groupNormSilu.ts'
import { layerNorm } from '../ops/layerNorm.ts'
import { mean } from '../ops/mean.ts'
import { mseLoss } from '../ops/mseLoss.ts'
import { mul } from '../ops/mul.ts'
import { offsetNoise } from '../ops/offsetNoise.ts'
import { permute } from '../ops/permute.ts'
import { posteriorSample } from '../ops/posteriorSample.ts'
import { quickGelu } from '../ops/quickGelu.ts'
import { scale } from '../ops/scale.ts'
import { silu } from '../ops/silu.ts'
import { sliceChannels } from '../ops/sliceChannels.ts'
import { softmax } from '../ops/softmax.ts'
import { storeParameter } from '../ops/storeParameter.ts'
import { sub } from '../ops/sub.ts'
import { sum } from '../ops/sum.ts'
import { timestepEmbedding } from '../ops/timestepEmbedding.ts'
import { full, randomNormal, randomUniform } from '../tensor/create.ts'
import type { Shape } from '../tensor/shape.ts'
import { type CaseInput, type CaseSize, float32Only, type KernelCase } from './kernelCase.ts'

const shapes = {
  small: {
    map: [2, 8, 8, 32],
    tokens: [40, 96],
    latents: [2, 8, 8, 4],
    table: [100, 32],
    ids: 24,
  },
  full: {
    map: [1, 64, 64, 320],
    tokens: [4096, 2560],
    latents: [4, 64, 64, 4],
    table: [49408, 768],
    ids: 308,
  },
} as const satisfies Readonly<Record<CaseSize, object>>

function normCases(map: Shape, tokens: Shape): readonly KernelCase[] {
  const parameters = (channels: number): readonly CaseInput[] => [
    { shape: [channels], dtype: 'float32' },
    { shape: [channels], dtype: 'float32' },
  ]
  const forward = 'element'
  const backward = 'sum'
  return [
    {
      op: 'groupNorm',
      inputs: [{ shape: map }, ...parameters(map.at(-1)!)],
      run: ([x, weight, bias]) => groupNorm(x!, weight!, bias!, { groups: 32 }),
      forward,
      backward,
    },
    {
      op: 'groupNormSilu',
      inputs: [{ shape: map }, ...parameters(map.at(-1)!)],
      run: ([x, weight, bias]) => groupNormSilu(x!, weight!, bias!, { groups: 32 }),
      forward,
      backward,
    },
    {
      op: 'layerNorm',
      inputs: [{ shape: tokens }, ...parameters(tokens.at(-1)!)],
      run: ([x, weight, bias]) => layerNorm(x!, weight!, bias!),
      forward,
      backward,
    },
    { op: 'softmax', inputs: [{ shape: tokens }], run: ([x]) => softmax(x!), forward, backward },
  ]
}

function elementwiseCases(map: Shape, tokens: Shape): readonly KernelCase[] {
  const one = [{ shape: tokens }]
  const two = [{ shape: tokens }, { shape: tokens }]
  const divisor: CaseInput = { shape: tokens, at: (i) => 0.5 + ((i * 7) % 13) / 8 }
  const classes = { forward: 'element', backward: 'elementGradient' } as const
  return [
    { op: 'silu', inputs: one, run: ([x]) => silu(x!), ...classes },
    { op: 'gelu', inputs: one, run: ([x]) => gelu(x!), ...classes },
    { op: 'quickGelu', inputs: one, run: ([x]) => quickGelu(x!), ...classes },
    { op: 'geglu', inputs: one, run: ([x]) => geglu(x!), ...classes },
    { op: 'add', inputs: two, run: ([a, b]) => add(a!, b!), ...classes },
    { op: 'sub', inputs: two, run: ([a, b]) => sub(a!, b!), ...classes },
    { op: 'mul', inputs: two, run: ([a, b]) => mul(a!, b!), ...classes },
    // Its gradients are quotients and products of the ops beside it.
    { op: 'div', inputs: [...one, divisor], run: ([a, b]) => div(a!, b!), forward: 'element' },
    { op: 'scale', inputs: one, run: ([x]) => scale(x!, { factor: 0.7 }), ...classes },
    { op: 'dropout', inputs: one, run: ([x]) => dropout(x!, { p: 0.3, seed: 5n, stream: 2n }), ...classes },
    { op: 'cast to float32', inputs: one, run: ([x]) => cast(x!, { dtype: 'float32' }), ...classes },
    {
      op: 'cast to float8_e4m3fn and back',
      inputs: one,
      run: ([x]) => cast(cast(x!, { dtype: 'float8_e4m3fn' }), { dtype: 'float32' }),
      forward: 'exact',
    },
    { op: 'sum', inputs: one, run: ([x]) => sum(x!, { axes: [0] }), forward: 'sum', backward: 'elementGradient' },
    { op: 'mean', inputs: one, run: ([x]) => mean(x!, { axes: [1] }), forward: 'sum', backward: 'elementGradient' },
    {
      op: 'contiguous, transposed',
      inputs: [{ shape: map }],
      run: ([x]) => contiguous(permute(x!, { axes: [0, 3, 1, 2] })),
      forward: 'exact',
      backward: 'exact',
    },
    {
      op: 'sliceChannels',
      inputs: [{ shape: map }],
      run: ([x]) => sliceChannels(x!, { start: 0, end: map.at(-1)! / 2 }),
      forward: 'exact',
      backward: 'exact',
    },
    {
      op: 'concatChannels',
      inputs: [{ shape: map }, { shape: map }],
      run: ([a, b]) => concatChannels(a!, b!),
      forward: 'exact',
      backward: 'exact',
    },
    {
      op: 'storeParameter',
      inputs: [{ shape: map }],
      run: ([x]) => storeParameter(x!, { layout: 'conv', dtype: 'float16' }),
      forward: 'exact',
    },
    {
      op: 'concatBatch',
      inputs: [{ shape: map }, { shape: map }],
      run: ([a, b]) => concatBatch([a!, b!]),
      forward: 'exact',
    },
  ]
}

function diffusionCases(latents: Shape, table: Shape, ids: number): readonly KernelCase[] {
  const [samples, , , channels] = latents as [number, number, number, number]
  const noised: readonly CaseInput[] = [
    { shape: latents },
    { shape: latents },
    { shape: [samples], dtype: 'int32', at: (i) => 100 + 200 * i },
    { shape: [1000], dtype: 'float32', at: (i) => 0.999 ** i },
  ]
  const perSample = { shape: [samples], dtype: 'float32', at: (i: number) => 0.5 + i, gradient: false } as const
  const rows = table[1]!
  return [
    {
      op: 'mseLoss',
      inputs: [{ shape: latents }, { shape: latents, gradient: false }, perSample],
      run: ([x, target, weights]) => mseLoss(x!, target!, weights!),
      forward: 'sum',
      backward: 'elementGradient',
    },
    {
      op: 'elementLoss, huber, mask',
      inputs: [
        { shape: latents },
        { shape: latents, gradient: false },
        perSample,
        { shape: latents.slice(0, -1), dtype: 'float32', at: (i) => (i % 5) / 4, gradient: false },
      ],
      run: ([x, target, thresholds, mask]) => elementLoss(x!, target!, null, thresholds!, mask!, { type: 'huber' }),
      forward: 'sum',
      backward: 'elementGradient',
    },
    { op: 'addNoise', inputs: noised, run: ([x, noise, t, a]) => addNoise(x!, noise!, t!, a!), forward: 'element' },
    { op: 'velocity', inputs: noised, run: ([x, noise, t, a]) => velocity(x!, noise!, t!, a!), forward: 'element' },
    {
      op: 'offsetNoise, adaptive',
      inputs: [{ shape: latents }, { shape: latents }],
      run: ([noise, x]) => offsetNoise(noise!, x!, { offset: 0.1, adaptiveScale: 0.05, seed: 3 }),
      forward: 'elementGradient',
    },
    {
      op: 'posteriorSample',
      inputs: [{ shape: [...latents.slice(0, -1), 2 * channels] }, { shape: latents, dtype: 'float32' }],
      run: ([moments, noise]) => posteriorSample(moments!, noise!),
      forward: 'elementGradient',
    },
    {
      op: 'timestepEmbedding',
      inputs: [{ shape: [samples], dtype: 'int32', at: (i) => 77 * i }],
      run: ([t]) => timestepEmbedding(t!, { dim: 320 }),
      forward: 'sum',
      dtypes: float32Only,
    },
    {
      op: 'full',
      inputs: [],
      run: (_inputs, device) => full(latents, 0.3, { device }),
      forward: 'exact',
      dtypes: float32Only,
    },
    {
      op: 'randomNormal',
      inputs: [],
      run: (_inputs, device) => randomNormal(latents, { seed: 7, device }),
      forward: 'elementGradient',
      dtypes: float32Only,
    },
    {
      op: 'randomUniform',
      inputs: [],
      run: (_inputs, device) => randomUniform(latents, { seed: 7, device }),
      forward: 'exact',
      dtypes: float32Only,
    },
    {
      op: 'embedding',
      inputs: [{ shape: [ids], dtype: 'int32', at: (i) => (i * 7919) % (table[0]! / 2) }, { shape: table }],
      run: ([positions, rows]) => embedding(positions!, rows!),
      forward: 'exact',
      backward: 'elementGradient',
      bytes: 8 * ids * rows,
    },
  ]
}

/** The cases of a size. */
export function elementCases(size: CaseSize): readonly KernelCase[] {
  const { map, tokens, latents, table, ids } = shapes[size]
  return [...normCases(map, tokens), ...elementwiseCases(map, tokens), ...diffusionCases(latents, table, ids)]
}

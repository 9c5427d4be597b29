/**
 * Matrix products and what is built on them, run by their CUDA kernels in the emulation: shapes of several tiles, whose rows can be
 * read 16 bytes at a time, as models have them. Small and odd shapes run from the op suites.
 */
import { describe, expect, it } from 'vitest'
import { type Conv2dOptions, conv2d } from '../../lib/ops/conv2d.ts'
import { type LinearOptions, linear } from '../../lib/ops/linear.ts'
import { matmul } from '../../lib/ops/matmul.ts'
import type { Shape } from '../../lib/tensor/shape.ts'
import type { DeviceName, Tensor } from '../../lib/tensor/tensor.ts'
import { expectCloseOnGpu, gradientsOf, randomInput } from '../support/closeOnGpu.ts'
import { canEmulate } from '../support/emulatedGpu.ts'
import { gemmTolerance } from '../support/opSuite.ts'

const dtypes = ['float32', 'bfloat16', 'float16'] as const
type Float = (typeof dtypes)[number]

/** Of gradients: what lies between two products is rounded once more. */
const gradientTolerance = {
  float32: { rms: 4e-6, max: 4e-5, relative: 1e-5 },
  bfloat16: { rms: 8e-3, max: 2e-2, relative: 2 ** -6 },
  float16: { rms: 1e-3, max: 2.5e-3, relative: 2 ** -9 },
} as const

const matmulCases: readonly (readonly [name: string, a: Shape, b: Shape, transposeA: boolean, transposeB: boolean])[] =
  [
    ['a b', [130, 96], [96, 136], false, false],
    ['a bT', [130, 96], [136, 96], false, true],
    ['aT b', [96, 136], [96, 136], true, false],
    ['aT bT', [96, 136], [136, 96], true, true],
    ['a long sum, cut into parts', [20, 1104], [1104, 24], false, false],
    ['a long sum of odd length', [7, 1103], [1103, 9], false, false],
    ['a batch large enough for tiles of 128 rows', [128, 72, 16], [128, 16, 8], false, false],
  ]

describe.runIf(canEmulate).each(dtypes)('matmul in %s on the GPU', (dtype) => {
  it.each(matmulCases)('%s', async (_name, aShape, bShape, transposeA, transposeB) => {
    await expectCloseOnGpu(
      (device) => {
        const a = randomInput('a', aShape, dtype, device)
        const b = randomInput('b', bShape, dtype, device)
        const y = matmul(a, b, { transposeA, transposeB })
        return [y, ...gradientsOf(y, [a, b])]
      },
      [gemmTolerance[dtype], gradientTolerance[dtype]],
    )
  })
  it('factors of two types', async () => {
    await expectCloseOnGpu(
      (device) => {
        const a = randomInput('a', [40, 72], dtype, device)
        const b = randomInput('b', [72, 24], 'float32', device)
        const y = matmul(a, b)
        return [y, ...gradientsOf(y, [a, b])]
      },
      [gemmTolerance[dtype], gradientTolerance[dtype]],
    )
  })
})

interface LinearCase {
  readonly rows: number
  readonly in: number
  readonly out: number
  readonly rank?: number
  readonly lora?: Float
  readonly bias?: boolean
  readonly residual?: boolean
  readonly options: LinearOptions
}

const linearCases: readonly (readonly [name: string, shape: LinearCase])[] = [
  [
    'bias, activation and residual',
    { rows: 70, in: 96, out: 72, bias: true, residual: true, options: { activation: 'gelu' } },
  ],
  ['a low-rank branch', { rows: 70, in: 96, out: 72, rank: 16, bias: true, options: { loraScale: 0.5 } }],
  ['a float32 low-rank branch', { rows: 66, in: 64, out: 80, rank: 4, lora: 'float32', options: {} }],
  [
    'a low-rank branch and a long sum, cut into parts',
    { rows: 12, in: 1200, out: 40, rank: 8, residual: true, options: { activation: 'quickGelu' } },
  ],
]

describe.runIf(canEmulate).each(dtypes)('linear in %s on the GPU', (dtype) => {
  it.each(linearCases)('%s', async (_name, c) => {
    await expectCloseOnGpu(
      (device) => {
        const input = (name: string, shape: Shape, scale = 1, type: Float = dtype): Tensor =>
          randomInput(name, shape, type, device, scale)
        const { rank } = c
        const inputs = [
          input('x', [c.rows, c.in]),
          input('weight', [c.out, c.in], 2 * c.in ** -0.5),
          c.bias ? input('bias', [c.out]) : null,
          c.residual ? input('residual', [c.rows, c.out]) : null,
          rank ? input('down', [rank, c.in], 2 * c.in ** -0.5, c.lora) : null,
          rank ? input('up', [c.out, rank], 0.5, c.lora) : null,
        ] as const
        const y = linear(...inputs, c.options)
        return [y, ...gradientsOf(y, inputs)]
      },
      [gemmTolerance[dtype], gradientTolerance[dtype]],
    )
  })
})

const convCases: readonly (readonly [name: string, x: Shape, weight: Shape, options: Conv2dOptions])[] = [
  ['3x3', [2, 9, 7, 16], [24, 3, 3, 16], { padding: 1 }],
  ['1x1', [1, 9, 9, 32], [72, 1, 1, 32], {}],
  ['stride 2', [1, 10, 9, 16], [24, 3, 3, 16], { padding: 1, stride: 2 }],
  ['stride 2, padding below and right', [1, 8, 10, 8], [16, 3, 3, 8], { padding: [0, 1, 0, 1], stride: 2 }],
  ['enlarged', [2, 5, 4, 16], [24, 3, 3, 16], { padding: 1, upsample: true }],
  ['few pixels, many channels: a sum cut into parts', [1, 4, 4, 64], [72, 3, 3, 64], { padding: 1 }],
  ['few channels in', [1, 9, 9, 4], [40, 3, 3, 4], { padding: 1 }],
  ['few channels out', [1, 9, 9, 40], [4, 3, 3, 40], { padding: 1 }],
]

describe.runIf(canEmulate).each(dtypes)('conv2d in %s on the GPU', (dtype) => {
  const run = (device: DeviceName, x: Shape, weight: Shape, options: Conv2dOptions): readonly Tensor[] => {
    const [co, kh, kw, ci] = weight as [number, number, number, number]
    const input = (name: string, shape: Shape, scale = 1): Tensor => randomInput(name, shape, dtype, device, scale)
    const plain = [input('x', x), input('weight', weight, 2 * (kh * kw * ci) ** -0.5)] as const
    const { shape } = conv2d(...plain, null, null, null, options)
    const more = [input('bias', [co]), input('time', [x[0]!, co]), input('residual', shape)] as const
    const y = conv2d(...plain, ...more, options)
    return [y, ...gradientsOf(y, [...plain, ...more])]
  }
  it.each(convCases)('%s', async (_name, x, weight, options) => {
    await expectCloseOnGpu(
      (device) => run(device, x, weight, { exact: true, ...options }),
      [gemmTolerance[dtype], gradientTolerance[dtype]],
    )
  })
  it('computes each gradient alike whichever others are wanted', async () => {
    const gradients = async (wanted: readonly number[]): Promise<unknown[]> => {
      const x = randomInput('x', [1, 5, 6, 8], dtype, 'cuda')
      const weight = randomInput('weight', [16, 3, 3, 8], dtype, 'cuda')
      const inputs = [x, weight]
      inputs.forEach((input, i) => {
        input.requiresGrad = wanted.includes(i)
      })
      gradientsOf(conv2d(x, weight, null, null, null, { padding: 1 }), inputs)
      return Promise.all(inputs.map(async (input) => (input.grad ? input.grad.read() : null)))
    }
    const both = await gradients([0, 1])
    expect(await gradients([0])).toEqual([both[0], null])
    expect(await gradients([1])).toEqual([null, both[1]])
  })
})

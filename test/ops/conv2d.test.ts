import { describe, expect, it } from 'vitest'
import { scaleInPlace } from '../../lib/ops/accumulate.ts'
import { type Conv2dOptions, conv2d } from '../../lib/ops/conv2d.ts'
import { randomNormal, tensor } from '../../lib/tensor/create.ts'
import { memory, setThreadCount } from '../../lib/tensor/runtime.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import { fixtureSuite } from '../support/fixtureSuite.ts'
import { type Array64, array64, expectClose } from '../support/float64.ts'
import { gemmTolerance, numbers, type OpCase, opSuite } from '../support/opSuite.ts'

function oracle(inputs: readonly (Array64 | null)[], options: Conv2dOptions): Array64 {
  const [x, weight, bias, timeEmbedding, residual] = inputs
  const { stride = 1, padding = 0, upsample = false } = options
  const [top, bottom, left, right] = typeof padding === 'number' ? [padding, padding, padding, padding] : padding
  const [n, h, w, ci] = x!.shape as [number, number, number, number]
  const [co, kh, kw] = weight!.shape as [number, number, number]
  const shift = upsample ? 1 : 0
  const ho = Math.floor(((h << shift) + top + bottom - kh) / stride) + 1
  const wo = Math.floor(((w << shift) + left + right - kw) / stride) + 1
  const y = array64([n, ho, wo, co])
  let at = 0
  for (let image = 0; image < n; image++)
    for (let oy = 0; oy < ho; oy++)
      for (let ox = 0; ox < wo; ox++)
        for (let o = 0; o < co; o++, at++) {
          let sum = (bias?.data[o] ?? 0) + (timeEmbedding?.data[image * co + o] ?? 0) + (residual?.data[at] ?? 0)
          for (let ky = 0; ky < kh; ky++)
            for (let kx = 0; kx < kw; kx++) {
              const iy = oy * stride + ky - top
              const ix = ox * stride + kx - left
              if (iy < 0 || iy >= h << shift || ix < 0 || ix >= w << shift) continue
              const pixel = ((image * h + (iy >> shift)) * w + (ix >> shift)) * ci
              const tap = ((o * kh + ky) * kw + kx) * ci
              for (let c = 0; c < ci; c++) sum += x!.data[pixel + c]! * weight!.data[tap + c]!
            }
          y.data[at] = sum
        }
  return y
}

function testCase(
  name: string,
  x: readonly number[],
  weight: readonly number[],
  options: Conv2dOptions,
  more: readonly ('bias' | 'time' | 'residual')[] = [],
): OpCase<Conv2dOptions> {
  const y = oracle([array64(x), array64(weight), null, null, null], options).shape
  const fan = weight[1]! * weight[2]! * weight[3]!
  const inputs = [
    { shape: x },
    { shape: weight, scale: 2 / Math.sqrt(fan) },
    more.includes('bias') ? { shape: [y[3]!] } : null,
    more.includes('time') ? { shape: [y[0]!, y[3]!] } : null,
    more.includes('residual') ? { shape: y } : null,
  ]
  return { name, inputs, options }
}

opSuite(conv2d, {
  gpu: true,
  oracle,
  tolerance: gemmTolerance,
  cases: [
    testCase('one pixel', [1, 1, 1, 5], [4, 3, 3, 5], { padding: 1 }),
    testCase('few channels in', [1, 5, 7, 3], [9, 3, 3, 3], { padding: 1 }, ['bias']),
    testCase('few channels out', [2, 5, 4, 21], [3, 3, 3, 21], { padding: 1 }),
    testCase('everything added', [2, 3, 4, 6], [5, 3, 3, 6], { padding: 1 }, ['bias', 'time', 'residual']),
    testCase('1x1', [2, 4, 3, 10], [12, 1, 1, 10], {}, ['bias', 'residual']),
    testCase('1x1, stride 2', [1, 4, 5, 6], [7, 1, 1, 6], { stride: 2 }),
    testCase('stride 2', [2, 5, 6, 5], [6, 3, 3, 5], { stride: 2, padding: 1 }, ['bias']),
    testCase('stride 2, padding below and right', [1, 6, 4, 5], [6, 3, 3, 5], { stride: 2, padding: [0, 1, 0, 1] }),
    testCase('enlarged', [2, 3, 2, 6], [5, 3, 3, 6], { padding: 1, upsample: true }, ['time']),
    testCase('uneven kernel and padding', [1, 4, 5, 4], [3, 4, 2, 4], { padding: [2, 0, 1, 1] }),
  ],
})

/** What F(4x4, 3x3) may add to the error of a plain sum. */
const fastTolerance = { float32: { rms: 2e-5, max: 2e-4 }, bfloat16: gemmTolerance.bfloat16 }

describe.each([true, false])('fast conv2d, keepTransformed %s', (keepTransformed) => {
  const options = { padding: 1, keepTransformed }
  opSuite(conv2d, {
    oracle,
    tolerance: fastTolerance,
    gradients: false,
    cases: [
      testCase('sizes not divisible by 4', [1, 33, 30, 36], [40, 3, 3, 36], options, ['bias', 'residual']),
      testCase('two images', [2, 21, 25, 32], [33, 3, 3, 32], options, ['time']),
      testCase('enlarged', [1, 16, 17, 32], [32, 3, 3, 32], { ...options, upsample: true }, ['bias']),
      testCase('uneven padding', [1, 32, 33, 40], [32, 3, 3, 40], { keepTransformed, padding: [1, 1, 0, 2] }),
    ],
  })
})

fixtureSuite(conv2d, {
  tolerance: gemmTolerance,
  caseTolerance: ({ inputs }, dtype) => {
    const { weight } = inputs
    if (weight!.shape[1] !== 3) return null
    return dtype === 'float32' ? fastTolerance.float32 : { rms: 4e-3, max: 1.2e-2, relative: 2 ** -7 }
  },
})

describe('conv2d', () => {
  const zeros = (...shape: number[]): Tensor => tensor(new Float32Array(shape.reduce((a, b) => a * b)), shape)

  it('transforms kept weights again when the weight changes', async () => {
    setThreadCount(2)
    const x = randomNormal([1, 32, 32, 32], { seed: 1 })
    const weight = randomNormal([32, 3, 3, 32], { seed: 2 })
    const first = conv2d(x, weight, null, null, null, { padding: 1 })
    const before = await numbers(first)
    scaleInPlace(weight, 2)
    const second = conv2d(x, weight, null, null, null, { padding: 1 })
    expectClose(
      'twice the weight',
      await numbers(second),
      Float32Array.from(before, (v) => 2 * v),
      { rms: 1e-7, max: 1e-6 },
    )
    for (const t of [x, weight, first, second]) t.dispose()
  })
  it('gives the memory of kept weights back with the weight', async () => {
    const x = randomNormal([1, 32, 32, 32], { seed: 1 })
    await x.read()
    const before = memory().liveBytes
    const weight = randomNormal([32, 3, 3, 32], { seed: 2 })
    conv2d(x, weight, null, null, null, { padding: 1 }).dispose()
    await x.read()
    expect(memory().liveBytes - before).toBeGreaterThan(32 * 32 * 36 * 4)
    weight.dispose()
    await tensor([0], [1]).read()
    expect(memory().liveBytes - before).toBeLessThan(32 * 32 * 36 * 4)
    x.dispose()
  })
  it('rejects a weight for other channels', () => {
    expect(() => conv2d(zeros(1, 4, 4, 3), zeros(8, 3, 3, 4), null, null, null)).toThrow(
      'conv2d: weight must be of shape [co, kh, kw, 3], received [8, 3, 3, 4]',
    )
  })
  it('rejects an input smaller than the kernel', () => {
    expect(() => conv2d(zeros(1, 2, 2, 3), zeros(8, 3, 3, 3), null, null, null)).toThrow('as large as the kernel')
  })
  it('rejects stride 2 of an enlarged input', () => {
    const options = { stride: 2, upsample: true } as const
    expect(() => conv2d(zeros(1, 4, 4, 3), zeros(8, 3, 3, 3), null, null, null, options)).toThrow(
      'conv2d: stride must be 1 where upsample is given, received 2',
    )
  })
  it('rejects a residual of another shape', () => {
    expect(() => conv2d(zeros(1, 4, 4, 3), zeros(8, 1, 1, 3), null, null, zeros(1, 4, 4, 3))).toThrow(
      'conv2d: residual must be of shape [1, 4, 4, 8], received [1, 4, 4, 3]',
    )
  })
})

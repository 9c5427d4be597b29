import { describe, expect, it } from 'vitest'
import { softmax } from '../../lib/ops/softmax.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { fixtureSuite } from '../support/fixtureSuite.ts'
import { type Array64, array64 } from '../support/float64.ts'
import { numbers, opSuite } from '../support/opSuite.ts'

function oracle([x]: readonly (Array64 | null)[]): Array64 {
  const y = array64(x!.shape)
  const columns = x!.shape.at(-1)!
  for (let start = 0; start < y.data.length; start += columns) {
    const row = x!.data.subarray(start, start + columns)
    const max = row.reduce((a, b) => Math.max(a, b))
    const exponentials = row.map((value) => Math.exp(value - max))
    const sum = exponentials.reduce((a, b) => a + b)
    y.data.set(
      exponentials.map((value) => value / sum),
      start,
    )
  }
  return y
}

const tolerance = {
  float32: { rms: 4e-7, max: 1e-6, relative: 2e-6 },
  bfloat16: { rms: 2.5e-3, max: 4e-3, relative: 2 ** -8 },
} as const
// The backward pass has only the result rounded to bfloat16, and takes differences.
const gradientTolerance = {
  float32: { rms: 2e-6, max: 5e-6, relative: 1e-5 },
  bfloat16: { rms: 1e-2, max: 3e-2, relative: 2 ** -7 },
} as const

opSuite(softmax, {
  oracle,
  tolerance,
  gradientTolerance,
  cases: [
    { name: 'one column', inputs: [{ shape: [5, 1], gradient: false }], options: {} },
    { name: 'one axis', inputs: [{ shape: [33] }], options: {} },
    { name: 'short rows', inputs: [{ shape: [7, 3], scale: 4 }], options: {} },
    { name: '77 columns', inputs: [{ shape: [2, 3, 77], scale: 8 }], options: {} },
    { name: 'a row longer than a task', inputs: [{ shape: [2, 17001], scale: 20 }], options: {} },
    { name: 'many rows', inputs: [{ shape: [3000, 16] }], options: {} },
    { name: 'far from zero', inputs: [{ shape: [4, 40], offset: 1000, scale: 30 }], options: {} },
  ],
})

fixtureSuite(softmax, { tolerance, gradientTolerance })

describe('softmax', () => {
  it('gives zero where a score is minus infinity', async () => {
    const y = await numbers(softmax(tensor([1, Number.NEGATIVE_INFINITY, 1, Number.NEGATIVE_INFINITY], [4])))
    expect(Array.from(y)).toEqual([0.5, 0, 0.5, 0])
  })
  it('lets NaN through', async () => {
    const y = await numbers(softmax(tensor([1, Number.NaN, 1], [3])))
    expect(Array.from(y).every(Number.isNaN)).toBe(true)
  })
  it('rejects integers', () => {
    expect(() => softmax(tensor(new Int32Array(2), [2]))).toThrow('softmax: x must be a float tensor, received int32')
  })
})

import { describe, expect, it } from 'vitest'
import { div } from '../../lib/ops/div.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { fixtureSuite } from '../support/fixtureSuite.ts'
import { atBroadcast, generate, operandCases } from '../support/indexing.ts'
import { elementwiseTolerance, opSuite } from '../support/opSuite.ts'

// The gradient of a broadcast operand is a sum that may cancel.
const gradientTolerance = {
  float32: { rms: 5e-6, max: 5e-6, relative: 1e-5 },
  bfloat16: { rms: 1.2e-2, max: 2e-2, relative: 2 ** -6 },
} as const

opSuite(div, {
  gpu: true,
  oracle: ([a, b]) => generate(a!.shape, (index, i) => a!.data[i]! / atBroadcast(b!, index)),
  tolerance: elementwiseTolerance,
  gradientTolerance,
  // Divisors from 2 to 4: around 0 nothing can be compared.
  cases: operandCases.map(({ inputs: [a, b], ...rest }) => ({ ...rest, inputs: [a, { ...b, offset: 3 }] })),
})

fixtureSuite(div, { tolerance: elementwiseTolerance, gradientTolerance })

describe('div', () => {
  it('divides by zero as floats do', async () => {
    expect(await div(tensor([1, -1, 0], [3]), tensor([0, 0, 0], [3])).read()).toEqual(
      Float32Array.of(Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN),
    )
  })
  it('rejects shapes that do not fit', () => {
    expect(() => div(tensor([1, 2], [2]), tensor([1, 2, 3], [3]))).toThrow(
      'div: b must be broadcastable to [2], received [3]',
    )
  })
  it('rejects integers', () => {
    expect(() => div(tensor(new Int32Array(2), [2]), tensor([1, 2], [2]))).toThrow(
      'div: a must be a float tensor, received int32',
    )
  })
})

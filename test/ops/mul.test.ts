import { describe, expect, it } from 'vitest'
import { mul } from '../../lib/ops/mul.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { fixtureSuite } from '../support/fixtureSuite.ts'
import { atBroadcast, generate, operandCases } from '../support/indexing.ts'
import { elementwiseTolerance, opSuite } from '../support/opSuite.ts'

// The gradient of a broadcast operand is a sum that may cancel.
const gradientTolerance = {
  float32: { rms: 5e-6, max: 5e-6, relative: 1e-5 },
  bfloat16: { rms: 7.5e-3, max: 1.2e-2, relative: 2 ** -7 },
} as const

opSuite(mul, {
  gpu: true,
  oracle: ([a, b]) => generate(a!.shape, (index, i) => a!.data[i]! * atBroadcast(b!, index)),
  tolerance: elementwiseTolerance,
  gradientTolerance,
  cases: operandCases,
})

fixtureSuite(mul, { tolerance: elementwiseTolerance, gradientTolerance })

describe('mul', () => {
  it('rejects shapes that do not fit', () => {
    expect(() => mul(tensor([1, 2], [2]), tensor([1, 2, 3], [3]))).toThrow(
      'mul: b must be broadcastable to [2], received [3]',
    )
  })
  it('rejects integers', () => {
    expect(() => mul(tensor(new Int32Array(2), [2]), tensor([1, 2], [2]))).toThrow(
      'mul: a must be a float tensor, received int32',
    )
  })
})

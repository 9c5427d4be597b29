import { describe, expect, it } from 'vitest'
import { sub } from '../../lib/ops/sub.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { fixtureSuite } from '../support/fixtureSuite.ts'
import { atBroadcast, generate, operandCases } from '../support/indexing.ts'
import { elementwiseTolerance, opSuite } from '../support/opSuite.ts'

opSuite(sub, {
  gpu: true,
  oracle: ([a, b]) => generate(a!.shape, (index, i) => a!.data[i]! - atBroadcast(b!, index)),
  tolerance: elementwiseTolerance,
  cases: operandCases,
})

fixtureSuite(sub, { tolerance: elementwiseTolerance })

describe('sub', () => {
  it('rejects shapes that do not fit', () => {
    expect(() => sub(tensor([1, 2], [2]), tensor([1, 2, 3], [3]))).toThrow(
      'sub: b must be broadcastable to [2], received [3]',
    )
  })
  it('rejects integers', () => {
    expect(() => sub(tensor(new Int32Array(2), [2]), tensor([1, 2], [2]))).toThrow(
      'sub: a must be a float tensor, received int32',
    )
  })
})

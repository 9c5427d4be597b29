import { describe, expect, it } from 'vitest'
import { add } from '../../lib/ops/add.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { fixtureSuite } from '../support/fixtureSuite.ts'
import { atBroadcast, generate, operandCases } from '../support/indexing.ts'
import { elementwiseTolerance, opSuite } from '../support/opSuite.ts'

opSuite(add, {
  gpu: true,
  oracle: ([a, b]) => generate(a!.shape, (index, i) => a!.data[i]! + atBroadcast(b!, index)),
  tolerance: elementwiseTolerance,
  cases: operandCases,
})

fixtureSuite(add, { tolerance: elementwiseTolerance })

describe('add', () => {
  it('rejects shapes that do not fit', () => {
    expect(() => add(tensor([1, 2], [2]), tensor([1, 2, 3], [3]))).toThrow(
      'add: b must be broadcastable to [2], received [3]',
    )
  })
  it('rejects integers', () => {
    expect(() => add(tensor(new Int32Array(2), [2]), tensor([1, 2], [2]))).toThrow(
      'add: a must be a float tensor, received int32',
    )
  })
})

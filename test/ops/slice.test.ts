import { describe, expect, it } from 'vitest'
import { slice } from '../../lib/ops/slice.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { fixtureSuite } from '../support/fixtureSuite.ts'
import { at, generate, packed } from '../support/indexing.ts'
import { elementwiseTolerance, opSuite } from '../support/opSuite.ts'

opSuite(packed(slice), {
  gpu: true,
  oracle([x], { axis, start, end }) {
    const cut = axis < 0 ? x!.shape.length + axis : axis
    return generate(x!.shape.with(cut, end - start), (index) => at(x!, index.with(cut, index[cut]! + start)))
  },
  tolerance: elementwiseTolerance,
  cases: [
    { name: 'first axis', inputs: [{ shape: [5, 7] }], options: { axis: 0, start: 1, end: 3 } },
    { name: 'middle axis', inputs: [{ shape: [3, 9, 4] }], options: { axis: 1, start: 8, end: 9 } },
    { name: 'last axis', inputs: [{ shape: [3, 9, 4] }], options: { axis: -1, start: 0, end: 2 } },
    { name: 'everything', inputs: [{ shape: [3, 4] }], options: { axis: 0, start: 0, end: 3 } },
    { name: 'longer than a task', inputs: [{ shape: [2, 70000] }], options: { axis: 1, start: 3, end: 69000 } },
  ],
})

fixtureSuite(packed(slice), { tolerance: elementwiseTolerance })

describe('slice', () => {
  it('rejects an empty range and one that ends outside', () => {
    const x = tensor([1, 2, 3], [3])
    expect(() => slice(x, { axis: 0, start: 2, end: 2 })).toThrow(
      'slice: range must be a non-empty range within [0, 3), received [2, 2)',
    )
    expect(() => slice(x, { axis: 0, start: 2, end: 4 })).toThrow('received [2, 4)')
  })
})

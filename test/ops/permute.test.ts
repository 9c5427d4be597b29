import { describe, expect, it } from 'vitest'
import { permute } from '../../lib/ops/permute.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { fixtureSuite } from '../support/fixtureSuite.ts'
import { at, generate, packed } from '../support/indexing.ts'
import { elementwiseTolerance, opSuite } from '../support/opSuite.ts'

opSuite(packed(permute), {
  gpu: true,
  oracle([x], { axes }) {
    const order = axes.map((axis) => (axis < 0 ? axes.length + axis : axis))
    return generate(
      order.map((axis) => x!.shape[axis]!),
      (index) => {
        const source: number[] = []
        order.forEach((axis, i) => {
          source[axis] = index[i]!
        })
        return at(x!, source)
      },
    )
  },
  tolerance: elementwiseTolerance,
  cases: [
    { name: 'transpose', inputs: [{ shape: [37, 53] }], options: { axes: [1, 0] } },
    { name: 'channels last', inputs: [{ shape: [2, 19, 7, 5] }], options: { axes: [0, 2, 3, 1] } },
    { name: 'channels first', inputs: [{ shape: [2, 7, 5, 19] }], options: { axes: [0, -1, 1, 2] } },
    { name: 'heads out', inputs: [{ shape: [2, 11, 3, 8] }], options: { axes: [0, 2, 1, 3] } },
    { name: 'reversed', inputs: [{ shape: [3, 4, 5, 6] }], options: { axes: [3, 2, 1, 0] } },
    { name: 'nothing moves', inputs: [{ shape: [3, 4] }], options: { axes: [0, 1] } },
  ],
})

fixtureSuite(packed(permute), { tolerance: elementwiseTolerance })

describe('permute', () => {
  it('moves no element', () => {
    const y = permute(tensor([1, 2, 3, 4, 5, 6], [2, 3]), { axes: [1, 0] })
    expect(y.shape).toEqual([3, 2])
    expect(y.strides).toEqual([1, 3])
  })
  it('rejects an axis named twice', () => {
    expect(() => permute(tensor([1, 2], [1, 2]), { axes: [0, -2] })).toThrow(
      'permute: axes must be each of the 2 axes once, received [0, -2]',
    )
  })
})

import { describe, expect, it } from 'vitest'
import { permute } from '../../lib/ops/permute.ts'
import { reshape } from '../../lib/ops/reshape.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { array64 } from '../support/float64.ts'
import { elementwiseTolerance, opSuite } from '../support/opSuite.ts'

opSuite(reshape, {
  gpu: true,
  oracle: ([x], { shape }) =>
    array64(
      shape.map((size) => (size === -1 ? 20 : size)),
      x!.data,
    ),
  tolerance: elementwiseTolerance,
  cases: [
    { name: 'flat', inputs: [{ shape: [3, 4, 5] }], options: { shape: [60] } },
    { name: 'one size left open', inputs: [{ shape: [3, 4, 5] }], options: { shape: [3, -1] } },
  ],
})

describe('reshape', () => {
  it('rejects another number of elements', () => {
    expect(() => reshape(tensor([1, 2, 3], [3]), { shape: [2, -1] })).toThrow(
      'reshape: shape must be of 3 elements like [3], received [2, -1]',
    )
  })
  it('rejects a strided view', () => {
    const x = permute(tensor([1, 2, 3, 4], [2, 2]), { axes: [1, 0] })
    expect(() => reshape(x, { shape: [4] })).toThrow('reshape: x must be contiguous (call contiguous(x))')
  })
})

import { describe, expect, it } from 'vitest'
import { mean } from '../../lib/ops/mean.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { packedStrides } from '../../lib/tensor/shape.ts'
import { fixtureSuite } from '../support/fixtureSuite.ts'
import { type Array64, array64 } from '../support/float64.ts'
import { indexOf } from '../support/indexing.ts'
import { gemmTolerance, opSuite } from '../support/opSuite.ts'

function oracle([x]: readonly (Array64 | null)[], { axes }: { readonly axes?: readonly number[] } = {}): Array64 {
  const { shape, data } = x!
  const summed = (axes ?? shape.map((_, axis) => axis)).map((axis) => (axis < 0 ? shape.length + axis : axis))
  const kept = shape.map((_, axis) => axis).filter((axis) => !summed.includes(axis))
  const y = array64(kept.map((axis) => shape[axis]!))
  const strides = packedStrides(y.shape)
  data.forEach((value, i) => {
    const index = indexOf(i, shape)
    const to = kept.reduce((offset, axis, k) => offset + index[axis]! * strides[k]!, 0)
    y.data[to] = y.data[to]! + value / (data.length / y.data.length)
  })
  return y
}

opSuite(mean, {
  gpu: true,
  oracle,
  tolerance: gemmTolerance,
  cases: [
    { name: 'everything', inputs: [{ shape: [3, 5, 70], offset: 0.5 }], options: {} },
    { name: 'several chunks', inputs: [{ shape: [20011], offset: 0.5 }], options: {} },
    { name: 'last axis', inputs: [{ shape: [4, 3, 33] }], options: { axes: [-1] } },
    { name: 'middle axis', inputs: [{ shape: [3, 130, 17] }], options: { axes: [1] } },
    { name: 'leading axes', inputs: [{ shape: [2, 150, 9] }], options: { axes: [1, 0] } },
    { name: 'alternating axes', inputs: [{ shape: [7, 2, 3, 5] }], options: { axes: [0, 2] } },
    { name: 'an axis of one', inputs: [{ shape: [3, 1, 2] }], options: { axes: [1] } },
    { name: 'no axes', inputs: [{ shape: [3, 4] }], options: { axes: [] } },
    { name: 'wide and flat', inputs: [{ shape: [3, 5000] }], options: { axes: [0] } },
  ],
})

fixtureSuite(mean, { tolerance: gemmTolerance })

describe('mean', () => {
  it('rejects an axis that is not there', () => {
    expect(() => mean(tensor([1, 2], [2]), { axes: [1] })).toThrow('mean: axis must be an axis of [2], received 1')
  })
})

import { describe, expect, it } from 'vitest'
import { add } from '../../lib/ops/add.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { packedStrides } from '../../lib/tensor/shape.ts'
import { type Array64, array64 } from '../support/float64.ts'
import { elementwiseTolerance, opSuite } from '../support/opSuite.ts'

function oracle([a, b]: readonly (Array64 | null)[]): Array64 {
  const y = array64(a!.shape, a!.data)
  const strides = packedStrides(a!.shape)
  const bStrides = packedStrides(b!.shape)
  const offset = a!.shape.length - b!.shape.length
  for (let i = 0; i < y.data.length; i++) {
    let at = 0
    b!.shape.forEach((size, axis) => {
      const index = Math.floor(i / strides[axis + offset]!) % a!.shape[axis + offset]!
      if (size > 1) at += index * bStrides[axis]!
    })
    y.data[i] = y.data[i]! + b!.data[at]!
  }
  return y
}

opSuite(add, {
  oracle,
  tolerance: elementwiseTolerance,
  cases: [
    { name: 'one element', inputs: [{ shape: [1] }, { shape: [1] }], options: {} },
    { name: 'odd length', inputs: [{ shape: [3, 77] }, { shape: [3, 77] }], options: {} },
    { name: 'longer than a task', inputs: [{ shape: [40000] }, { shape: [40000] }], options: {} },
    { name: 'last axis', inputs: [{ shape: [2, 5, 5, 19] }, { shape: [19], gradient: false }], options: {} },
    {
      name: 'per sample and channel',
      inputs: [{ shape: [3, 4, 5, 7] }, { shape: [3, 1, 1, 7], gradient: false }],
      options: {},
    },
    { name: 'per row', inputs: [{ shape: [6, 33] }, { shape: [6, 1], gradient: false }], options: {} },
    { name: 'float32 added to any', inputs: [{ shape: [9, 17] }, { shape: [9, 17], dtype: 'float32' }], options: {} },
  ],
})

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

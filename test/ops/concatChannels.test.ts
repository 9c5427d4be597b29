import { describe, expect, it } from 'vitest'
import { concatChannels } from '../../lib/ops/concatChannels.ts'
import { tensor, zeros } from '../../lib/tensor/create.ts'
import { fixtureSuite } from '../support/fixtureSuite.ts'
import { at, generate } from '../support/indexing.ts'
import { elementwiseTolerance, opSuite } from '../support/opSuite.ts'

opSuite(concatChannels, {
  gpu: true,
  oracle([a, b]) {
    const split = a!.shape.at(-1)!
    return generate(a!.shape.with(-1, split + b!.shape.at(-1)!), (index) => {
      const channel = index.at(-1)!
      return channel < split ? at(a!, index) : at(b!, index.with(-1, channel - split))
    })
  },
  tolerance: elementwiseTolerance,
  cases: [
    { name: 'unequal widths', inputs: [{ shape: [2, 3, 3, 5] }, { shape: [2, 3, 3, 12] }], options: {} },
    { name: 'one row', inputs: [{ shape: [7] }, { shape: [1] }], options: {} },
    { name: 'one channel', inputs: [{ shape: [2, 3, 1] }, { shape: [2, 3, 2] }], options: {} },
    { name: 'one channel at the end', inputs: [{ shape: [2, 3, 2] }, { shape: [2, 3, 1] }], options: {} },
    {
      name: 'only the second wants a gradient',
      inputs: [{ shape: [9, 2], gradient: false }, { shape: [9, 3] }],
      options: {},
    },
  ],
})

fixtureSuite(concatChannels, { tolerance: elementwiseTolerance })

describe('concatChannels', () => {
  it('rejects other leading axes', () => {
    expect(() => concatChannels(zeros([2, 3]), zeros([3, 3]))).toThrow(
      'concatChannels: b must be of shape [2, 3] but for the last axis, received [3, 3]',
    )
  })
  it('rejects another dtype', () => {
    expect(() => concatChannels(zeros([2, 3]), tensor(new Int32Array(2), [2, 1]))).toThrow(
      'concatChannels: b must be float32, received int32',
    )
  })
})

import { describe, expect, it } from 'vitest'
import { permute } from '../../lib/ops/permute.ts'
import { sliceChannels } from '../../lib/ops/sliceChannels.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { fixtureSuite } from '../support/fixtureSuite.ts'
import { at, generate } from '../support/indexing.ts'
import { elementwiseTolerance, opSuite } from '../support/opSuite.ts'

opSuite(sliceChannels, {
  gpu: true,
  oracle: ([x], { start, end }) =>
    generate(x!.shape.with(-1, end - start), (index) => at(x!, index.with(-1, index.at(-1)! + start))),
  tolerance: elementwiseTolerance,
  cases: [
    { name: 'middle channels', inputs: [{ shape: [2, 3, 3, 11] }], options: { start: 4, end: 7 } },
    { name: 'first channels', inputs: [{ shape: [50, 9] }], options: { start: 0, end: 1 } },
    { name: 'all channels', inputs: [{ shape: [5, 3] }], options: { start: 0, end: 3 } },
  ],
})

fixtureSuite(sliceChannels, { tolerance: elementwiseTolerance })

describe('sliceChannels', () => {
  it('takes a strided view', async () => {
    const x = permute(tensor([1, 2, 3, 4, 5, 6], [3, 2]), { axes: [1, 0] })
    const y = sliceChannels(x, { start: 1, end: 3 })
    expect(Array.from((await y.read()) as Float32Array)).toEqual([3, 5, 4, 6])
  })
  it('rejects channels that are not there', () => {
    expect(() => sliceChannels(tensor([1, 2], [1, 2]), { start: 1, end: 3 })).toThrow('within [0, 2), received [1, 3)')
  })
})

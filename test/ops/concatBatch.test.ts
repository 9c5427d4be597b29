import { describe, expect, it } from 'vitest'
import { concatBatch } from '../../lib/ops/concatBatch.ts'
import { tensor } from '../../lib/tensor/create.ts'

describe('concatBatch', () => {
  it('joins parts of different lengths in order', async () => {
    const y = concatBatch([tensor([1, 2], [1, 2]), tensor([3, 4, 5, 6], [2, 2]), tensor([7, 8], [1, 2])])
    expect(y.shape).toEqual([4, 2])
    expect(await y.read()).toEqual(Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8))
  })
  it('joins integers', async () => {
    const y = concatBatch([tensor(Int32Array.of(1, 2), [1, 2]), tensor(Int32Array.of(3, 4), [1, 2])])
    expect(await y.read()).toEqual(Int32Array.of(1, 2, 3, 4))
  })
  it('rejects parts that do not fit together', () => {
    expect(() => concatBatch([tensor([1, 2], [1, 2]), tensor([1], [1, 1])])).toThrow(
      'concatBatch: parts[1] must be float32 of shape [n, 2], received float32 [1, 1]',
    )
    expect(() => concatBatch([])).toThrow('concatBatch: parts must be one tensor or more, received none')
  })
})

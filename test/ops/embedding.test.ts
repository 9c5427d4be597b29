import { describe, expect, it } from 'vitest'
import { embedding } from '../../lib/ops/embedding.ts'
import { tensor, zeros } from '../../lib/tensor/create.ts'
import { fixtureSuite } from '../support/fixtureSuite.ts'
import { array64 } from '../support/float64.ts'
import { elementwiseTolerance, opSuite } from '../support/opSuite.ts'

opSuite(embedding, {
  oracle([ids, table]) {
    const width = table!.shape[1]!
    const y = array64([...ids!.shape, width])
    ids!.data.forEach((id, i) => {
      y.data.set(table!.data.subarray(id * width, (id + 1) * width), i * width)
    })
    return y
  },
  tolerance: elementwiseTolerance,
  cases: [
    {
      name: 'one row',
      inputs: [{ shape: [1], dtype: 'int32', data: [4] }, { shape: [5, 3] }],
      options: {},
    },
    {
      name: 'rows that repeat',
      inputs: [{ shape: [2, 4], dtype: 'int32', data: [2, 0, 2, 2, 1, 2, 0, 5] }, { shape: [6, 7] }],
      options: {},
    },
    {
      name: 'a prompt, wider than a stripe',
      inputs: [
        { shape: [2, 77], dtype: 'int32', data: Array.from({ length: 154 }, (_, i) => (i * i) % 50) },
        { shape: [50, 145] },
      ],
      options: {},
    },
  ],
})

fixtureSuite(embedding, { tolerance: elementwiseTolerance })

describe('embedding', () => {
  it('rejects ids that are not int32', () => {
    expect(() => embedding(zeros([2]), zeros([4, 2]))).toThrow('embedding: ids must be int32, received float32')
  })
  it('reports an id outside the table when the result is read', async () => {
    const y = embedding(tensor(new Int32Array([0, 4]), [2]), zeros([4, 2]))
    await expect(y.read()).rejects.toThrow('ids must be in [0, 4), the rows of the table; element 1 is 4')
  })
})

import { describe, expect, it } from 'vitest'
import { backward } from '../../lib/autograd/backward.ts'
import { embedding, extendedEmbedding } from '../../lib/ops/embedding.ts'
import { tensor, zeros } from '../../lib/tensor/create.ts'
import { fixtureSuite } from '../support/fixtureSuite.ts'
import { type Array64, array64 } from '../support/float64.ts'
import { elementwiseTolerance, opSuite } from '../support/opSuite.ts'

function rowsOf(ids: Array64, table: Float64Array, width: number): Array64 {
  const y = array64([...ids.shape, width])
  ids.data.forEach((id, i) => {
    y.data.set(table.subarray(id * width, (id + 1) * width), i * width)
  })
  return y
}

opSuite(embedding, {
  gpu: true,
  oracle: ([ids, table]) => rowsOf(ids!, table!.data, table!.shape[1]!),
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

opSuite(extendedEmbedding, {
  gpu: true,
  oracle: ([ids, table, added]) => rowsOf(ids!, Float64Array.of(...table!.data, ...added!.data), table!.shape[1]!),
  tolerance: elementwiseTolerance,
  cases: [
    {
      name: 'rows of both, some twice',
      inputs: [{ shape: [2, 4], dtype: 'int32', data: [2, 6, 7, 2, 0, 7, 5, 7] }, { shape: [6, 3] }, { shape: [2, 3] }],
      options: {},
    },
    {
      name: 'a frozen table',
      inputs: [
        { shape: [2, 77], dtype: 'int32', data: Array.from({ length: 154 }, (_, i) => (i * i) % 53) },
        { shape: [50, 145], gradient: false },
        { shape: [3, 145] },
      ],
      options: {},
    },
    {
      name: 'none of what is added',
      inputs: [{ shape: [3], dtype: 'int32', data: [1, 0, 1] }, { shape: [2, 5] }, { shape: [1, 5] }],
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

describe('extendedEmbedding', () => {
  it('makes no gradient of a frozen table', () => {
    const [table, added] = [zeros([4, 2]), zeros([1, 2])]
    added.requiresGrad = true
    backward(extendedEmbedding(tensor(new Int32Array([0, 4]), [2]), table, added), zeros([2, 2]))
    expect(table.grad).toBeNull()
    expect(added.grad!.shape).toEqual([1, 2])
  })
  it('rejects rows of another width or type', () => {
    const ids = tensor(new Int32Array([0, 4]), [2])
    expect(() => extendedEmbedding(ids, zeros([4, 2]), zeros([1, 3]))).toThrow(
      'extendedEmbedding: added must be of shape [1, 2], received [1, 3]',
    )
    expect(() => extendedEmbedding(ids, zeros([4, 2]), zeros([1, 2], { dtype: 'bfloat16' }))).toThrow(
      'extendedEmbedding: added must be float32, received bfloat16',
    )
  })
  it('reports an id past both parts when the result is read', async () => {
    const y = extendedEmbedding(tensor(new Int32Array([0, 5]), [2]), zeros([4, 2]), zeros([1, 2]))
    await expect(y.read()).rejects.toThrow('ids must be in [0, 5), the rows of the table; element 1 is 5')
  })
})

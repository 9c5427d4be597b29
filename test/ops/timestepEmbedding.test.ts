import { describe, expect, it } from 'vitest'
import { timestepEmbedding } from '../../lib/ops/timestepEmbedding.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { fixtureSuite } from '../support/fixtureSuite.ts'
import { array64 } from '../support/float64.ts'
import { elementwiseTolerance, opSuite } from '../support/opSuite.ts'

opSuite(timestepEmbedding, {
  gpu: true,
  oracle([timesteps], { dim, maxPeriod = 10000 }) {
    const half = dim / 2
    const y = array64([timesteps!.shape[0]!, dim])
    timesteps!.data.forEach((t, n) => {
      for (let i = 0; i < half; i++) {
        const angle = t * maxPeriod ** (-i / half)
        y.data[n * dim + i] = Math.cos(angle)
        y.data[n * dim + half + i] = Math.sin(angle)
      }
    })
    return y
  },
  dtypes: ['float32'],
  tolerance: elementwiseTolerance,
  cases: [
    {
      name: 'all of a schedule',
      inputs: [{ shape: [4], dtype: 'float32', data: [0, 1, 500.5, 999] }],
      options: { dim: 320 },
    },
    { name: 'whole numbers', inputs: [{ shape: [3], dtype: 'int32', data: [0, 7, 999] }], options: { dim: 6 } },
    {
      name: 'another period',
      inputs: [{ shape: [1], dtype: 'float32', data: [12] }],
      options: { dim: 2, maxPeriod: 100 },
    },
  ],
})

fixtureSuite(timestepEmbedding, { tolerance: elementwiseTolerance })

describe('timestepEmbedding', () => {
  it('rejects an odd width', () => {
    expect(() => timestepEmbedding(tensor([1], [1]), { dim: 5 })).toThrow(
      'timestepEmbedding: dim must be divisible by the halves, received 5 and 2',
    )
  })
})

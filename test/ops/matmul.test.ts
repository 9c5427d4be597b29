import { describe, expect, it } from 'vitest'
import { type MatmulOptions, matmul } from '../../lib/ops/matmul.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { fixtureSuite } from '../support/fixtureSuite.ts'
import { type Array64, array64 } from '../support/float64.ts'
import { gemmTolerance, opSuite } from '../support/opSuite.ts'

function oracle([a, b]: readonly (Array64 | null)[], options: MatmulOptions): Array64 {
  const { transposeA = false, transposeB = false } = options
  const lead = a!.shape.slice(0, -2)
  const [aRows, aColumns] = a!.shape.slice(-2) as [number, number]
  const [bRows, bColumns] = b!.shape.slice(-2) as [number, number]
  const m = transposeA ? aColumns : aRows
  const k = transposeA ? aRows : aColumns
  const n = transposeB ? bRows : bColumns
  const y = array64([...lead, m, n])
  const batch = lead.reduce((x, size) => x * size, 1)
  for (let q = 0; q < batch; q++) {
    const bStart = b!.shape.length > 2 ? q * k * n : 0
    for (let i = 0; i < m; i++)
      for (let j = 0; j < n; j++) {
        let sum = 0
        for (let t = 0; t < k; t++)
          sum +=
            a!.data[q * m * k + (transposeA ? t * m + i : i * k + t)]! *
            b!.data[bStart + (transposeB ? j * k + t : t * n + j)]!
        y.data[q * m * n + i * n + j] = sum
      }
  }
  return y
}

const transposed = [
  { transposeA: false, transposeB: false },
  { transposeA: false, transposeB: true },
  { transposeA: true, transposeB: false },
  { transposeA: true, transposeB: true },
]

opSuite(matmul, {
  oracle,
  tolerance: gemmTolerance,
  cases: [
    { name: 'tiny', inputs: [{ shape: [2, 3] }, { shape: [3, 5] }], options: {} },
    { name: 'long sums', inputs: [{ shape: [5, 1200] }, { shape: [1200, 7] }], options: {} },
    { name: 'few columns', inputs: [{ shape: [77, 40] }, { shape: [40, 4] }], options: {} },
    { name: 'one row', inputs: [{ shape: [1, 90] }, { shape: [90, 130] }], options: {} },
    { name: 'one b for a batch', inputs: [{ shape: [3, 9, 14] }, { shape: [14, 20] }], options: {} },
    {
      name: 'float32 and bfloat16 factors',
      inputs: [{ shape: [20, 34] }, { shape: [34, 17], dtype: 'float32' as const }],
      options: {},
    },
    ...transposed.map((options) => ({
      name: `batch, ${options.transposeA ? 'aT' : 'a'} ${options.transposeB ? 'bT' : 'b'}`,
      inputs: [
        { shape: options.transposeA ? [3, 31, 13] : [3, 13, 31] },
        { shape: options.transposeB ? [3, 35, 31] : [3, 31, 35] },
      ],
      options,
    })),
  ],
})

fixtureSuite(matmul, { tolerance: gemmTolerance })

describe('matmul', () => {
  const zeros = (...shape: number[]) => tensor(new Float32Array(shape.reduce((a, b) => a * b)), shape)
  it('rejects inner sizes that differ', () => {
    expect(() => matmul(zeros(2, 3), zeros(4, 5))).toThrow('matmul: axis -2 of b must be 3 long, received [4, 5]')
  })
  it('rejects leading axes that differ', () => {
    expect(() => matmul(zeros(2, 2, 3), zeros(3, 3, 5))).toThrow('with the leading axes of a [2, 2, 3]')
  })
  it('rejects one b for a transposed batch', () => {
    expect(() => matmul(zeros(2, 2, 3), zeros(2, 5), { transposeA: true })).toThrow('of rank 3 where a is transposed')
  })
  it('rejects integers', () => {
    expect(() => matmul(tensor(new Int32Array(4), [2, 2]), zeros(2, 2))).toThrow('a float tensor, received int32')
  })
})

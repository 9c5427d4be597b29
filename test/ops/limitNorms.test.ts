import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { addon } from '../../lib/native/load.ts'
import { limitNorms } from '../../lib/ops/limitNorms.ts'
import { full, tensor } from '../../lib/tensor/create.ts'
import { cpuTargets, memory, setCpuTarget, setThreadCount } from '../../lib/tensor/runtime.ts'
import { pseudoRandom } from '../support/float64.ts'

beforeAll(() => addon.setMemoryGuards(true))
afterAll(() => {
  addon.setMemoryGuards(false)
  setThreadCount(2)
})

describe.each(cpuTargets())('limitNorms on %s', (target) => {
  it('scales every factor of a product that is too large alike, and no other', async () => {
    setCpuTarget(target)
    for (const threads of [1, 2]) {
      setThreadCount(threads)
      const sizes = [70001, 5, 1, 4097, 3]
      const values = sizes.map((size, i) => pseudoRandom(`f${i}`, size))
      const factors = values.map((array) => tensor(array, [array.length]))
      const report = limitNorms(
        [
          { factors: factors.slice(0, 2), square: tensor([64], [1]), scale: 0.5 }, // norm 4: by sqrt(1 / 2)
          { factors: factors.slice(2, 3), square: tensor([1], []) }, // norm 1: as it is
          { factors: factors.slice(3), square: tensor([256], [1, 1]), scale: 1 }, // norm 16: by sqrt(1 / 8)
        ],
        2,
      )
      const expected = [0.5, 0.5, 1, 0.125, 0.125].map((ratio, i) =>
        values[i]!.map((x) => Math.fround(x * Math.fround(Math.sqrt(ratio)))),
      )
      for (const [i, factor] of factors.entries()) expect(await factor.read()).toEqual(expected[i])
      expect(await report.read()).toEqual(new Float32Array([2, Math.fround(5 / 3), 2]))
    }
    expect(memory().guardViolations).toBe(0)
  })

  it('takes the root that belongs to the number of factors', async () => {
    setCpuTarget(target)
    const factors = Array.from({ length: 4 }, () => full([3], 1))
    limitNorms([{ factors, square: full([1], 256) }], 1)
    for (const factor of factors) expect(await factor.read()).toEqual(new Float32Array(3).fill(0.5))
  })

  it('leaves alone what is not a number, and says so', async () => {
    setCpuTarget(target)
    const factor = full([2], 3)
    const report = limitNorms([{ factors: [factor], square: full([1], Number.NaN) }], 1)
    expect(await factor.read()).toEqual(new Float32Array([3, 3]))
    expect(await report.read()).toEqual(new Float32Array([0, Number.NaN, Number.NaN]))
  })
})

describe('limitNorms', () => {
  it('rejects an empty list, a limit that is not positive, and squares of another type', () => {
    const product = { factors: [full([1], 1)], square: full([1], 1) }
    expect(() => limitNorms([], 1)).toThrow('limitNorms: products must be at least one, received none')
    expect(() => limitNorms([product], 0)).toThrow('limitNorms: maxNorm must be positive, received 0')
    expect(() => limitNorms([{ ...product, square: full([1], 1, { dtype: 'bfloat16' }) }], 1)).toThrow('square must be')
    expect(() => limitNorms([{ ...product, square: full([2], 1) }], 1)).toThrow(
      'squares must be single float32 numbers',
    )
    expect(() => limitNorms([{ ...product, scale: -1 }], 1)).toThrow('scale must be a finite number, not negative')
  })
})

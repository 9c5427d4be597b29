import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { addon } from '../../lib/native/load.ts'
import { gradientNorm, jointNorm } from '../../lib/ops/gradientNorm.ts'
import { full, tensor } from '../../lib/tensor/create.ts'
import { cpuTargets, memory, setCpuTarget, setThreadCount } from '../../lib/tensor/runtime.ts'
import { pseudoRandom } from '../support/float64.ts'

beforeAll(() => addon.setMemoryGuards(true))
afterAll(() => {
  addon.setMemoryGuards(false)
  setThreadCount(2)
})

describe.each(cpuTargets())('gradientNorm on %s', (target) => {
  const sizes = [1, 4096, 5, 70001, 255, 4097]
  const arrays = sizes.map((size, i) => pseudoRandom(`g${i}`, size))
  const expected = Math.sqrt(arrays.flatMap((a) => Array.from(a)).reduce((sum, x) => sum + x * x, 0))

  it('is the norm of all tensors together, whatever the thread count', async () => {
    setCpuTarget(target)
    const results: unknown[] = []
    for (const threads of [1, 2]) {
      setThreadCount(threads)
      const y = gradientNorm(
        arrays.map((a) => tensor(a, [a.length])),
        expected / 2,
      )
      const [norm, coefficient] = (await y.read()) as Float32Array
      expect(Math.abs(norm! / expected - 1)).toBeLessThan(2e-7)
      expect(coefficient).toBeCloseTo(expected / 2 / (expected + 1e-6), 6)
      results.push([norm, coefficient])
    }
    expect(results[0]).toEqual(results[1])
    expect(memory().guardViolations).toBe(0)
  })
  it('does not touch gradients that are small enough', async () => {
    setCpuTarget(target)
    expect(await gradientNorm([tensor([3, 4], [2])], 6).read()).toEqual(new Float32Array([5, 1]))
    expect(await gradientNorm([tensor([3, 4], [2])]).read()).toEqual(new Float32Array([5, 1]))
  })
  it('takes a multiple back, from the norm and with the factor', async () => {
    setCpuTarget(target)
    const scaled = [tensor([3 * 1024, 4 * 1024], [2])]
    expect(await gradientNorm(scaled, 6, 1024).read()).toEqual(new Float32Array([5, 1 / 1024]))
    const [norm, factor] = (await gradientNorm(scaled, 2.5, 1024).read()) as Float32Array
    expect(norm).toBe(5)
    expect(factor! * 1024).toBeCloseTo(0.5, 6)
  })
  it('shows a gradient that is not finite', async () => {
    setCpuTarget(target)
    const [norm] = (await gradientNorm([full([9], 1), full([3], Number.NaN)], 1).read()) as Float32Array
    expect(norm).toBeNaN()
  })
})

describe('jointNorm', () => {
  it('is the norm of the whole, from the norms of parts', async () => {
    const norms = [[3], [4, 12], [84]].map((values) => gradientNorm([tensor(values, [values.length])], 1))
    expect(await jointNorm(norms).read()).toEqual(new Float32Array([85, 1]))
    norms.push(gradientNorm([full([1], Number.NaN)]))
    expect((await jointNorm(norms).read())[0]).toBeNaN()
  })
})

describe('gradientNorm', () => {
  it('rejects an empty list and a limit that is not positive', () => {
    expect(() => gradientNorm([])).toThrow('gradientNorm: gradients must be at least one tensor, received none')
    expect(() => gradientNorm([full([1], 1)], 0)).toThrow('gradientNorm: maxNorm must be positive, received 0')
    expect(() => gradientNorm([full([1], 1)], 1, 0)).toThrow('gradientNorm: multiple must be positive and finite')
  })
})

/** Norms over many tensors: their CUDA kernels in the emulation. */
import { afterEach, describe, expect, it } from 'vitest'
import { gradientNorm } from '../../lib/ops/gradientNorm.ts'
import { limitNorms } from '../../lib/ops/limitNorms.ts'
import { full, tensor } from '../../lib/tensor/create.ts'
import { canEmulate, orders, setEmulation } from '../support/emulatedGpu.ts'
import { pseudoRandom } from '../support/float64.ts'
import { expectSameBits } from '../support/sameOnGpu.ts'

const device = 'cuda'

describe.runIf(canEmulate)('norms on the GPU', () => {
  afterEach(() => setEmulation('ORDER', 'forward'))

  it('are those of all gradients together', async () => {
    const arrays = [1, 4096, 5, 70_001, 255, 4097].map((size, i) => pseudoRandom(`g${i}`, size))
    const expected = Math.sqrt(arrays.flatMap((a) => Array.from(a)).reduce((sum, x) => sum + x * x, 0))
    const results: unknown[] = []
    for (const order of orders) {
      setEmulation('ORDER', order)
      const gradients = arrays.map((a) => tensor(a, [a.length], { device }))
      const [norm, factor] = (await gradientNorm(gradients, expected / 2).read()) as Float32Array
      expect(Math.abs(norm! / expected - 1)).toBeLessThan(2e-7)
      expect(factor).toBeCloseTo(expected / 2 / (expected + 1e-6), 6)
      results.push([norm, factor])
    }
    for (const result of results) expect(result).toEqual(results[0])
  })
  it('take a multiple back, and show what is not finite', async () => {
    const scaled = [tensor([3 * 1024, 4 * 1024], [2], { device })]
    expect(await gradientNorm(scaled, 6, 1024).read()).toEqual(new Float32Array([5, 1 / 1024]))
    const [norm] = (await gradientNorm([full([9], 1, { device }), full([3], Number.NaN, { device })], 1).read()) as
      | Float32Array
      | readonly number[]
    expect(norm).toBeNaN()
  })
  it('are limited as on the CPU', async () => {
    await expectSameBits((on) => {
      const factors = [7001, 5, 1, 4097, 3].map((size, i) =>
        tensor(pseudoRandom(`f${i}`, size), [size], { device: on }),
      )
      const square = (x: number) => tensor([x], [1], { device: on })
      const report = limitNorms(
        [
          { factors: factors.slice(0, 2), square: square(64), scale: 0.5 },
          { factors: factors.slice(2, 3), square: square(1) },
          { factors: factors.slice(3), square: square(256) },
        ],
        2,
      )
      return [...factors, report]
    })
  })
  it('are left alone where they are not numbers, and reported', async () => {
    const factor = full([2], 3, { device })
    const squares = [full([1], Number.NaN, { device }), full([1], 0.25, { device })]
    const report = limitNorms(
      squares.map((square) => ({ factors: [factor], square })),
      1,
    )
    expect(await factor.read()).toEqual(new Float32Array([3, 3]))
    expect(await report.read()).toEqual(new Float32Array([0, Number.NaN, Number.NaN]))
  })
})

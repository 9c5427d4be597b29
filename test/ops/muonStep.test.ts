import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { addon } from '../../lib/native/load.ts'
import { gradientNorm } from '../../lib/ops/gradientNorm.ts'
import { type MuonSlot, muonStep } from '../../lib/ops/muonStep.ts'
import { full, tensor, zeros } from '../../lib/tensor/create.ts'
import { cpuTargets, memory, setCpuTarget, setThreadCount } from '../../lib/tensor/runtime.ts'
import type { Shape } from '../../lib/tensor/shape.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import { fromBFloat16Bits, pseudoRandom, roundToBFloat16 } from '../support/float64.ts'
import { orthogonal64 } from '../support/tensorStep64.ts'

beforeAll(() => addon.setMemoryGuards(true))
afterAll(() => {
  addon.setMemoryGuards(false)
  setThreadCount(2)
})

const published = { keep: 0.95, nesterov: true, decay: 1, rate: 0.02 }

function slotOf(name: string, shape: Shape, change: Partial<MuonSlot> = {}): MuonSlot {
  const size = shape.reduce((a, b) => a * b, 1)
  return {
    param: tensor(pseudoRandom(`${name}/p`, size), shape),
    gradient: tensor(pseudoRandom(`${name}/g`, size), shape),
    momentum: zeros(shape),
    copy: zeros(shape, { dtype: 'bfloat16' }),
    ...published,
    ...change,
  }
}

const floats = async (x: Tensor): Promise<Float32Array> => (await x.read()) as Float32Array

describe.each(cpuTargets())('muonStep on %s', (target) => {
  // Errors of float32 grow with small singular values, up to 3.4445^5 times.
  it.each([
    [false, 2e-6],
    [true, 0.02],
  ])('follows the formula for matrices of all shapes, bfloat16 %s', async (half, tolerance) => {
    setCpuTarget(target)
    const shapes: readonly Shape[] = [
      [4, 320],
      [33, 17],
      [4, 320],
      [1, 5],
      [7, 1],
      [24, 3, 3, 5],
      [17, 33],
      [40, 40],
    ]
    const slots = shapes.map((shape, k) =>
      slotOf(`${k}`, shape, { nesterov: k !== 1, decay: 0.9, rate: 0.1 * (k + 1) }),
    )
    const before = await Promise.all(slots.map(({ param }) => floats(param)))
    const gradients = await Promise.all(slots.map(({ gradient }) => floats(gradient)))
    for (let t = 0; t < 2; t++) muonStep(slots, { half })
    for (const [k, { param, copy, momentum, rate, nesterov }] of slots.entries()) {
      const rows = param.dim(0)
      const m1 = Array.from(gradients[k]!, (g) => 0.05 * g)
      const m2 = m1.map((m, i) => 0.95 * m + 0.05 * gradients[k]![i]!)
      const first = orthogonal64(m1, rows, param.size / rows, 5) // of any multiple of it
      const ahead = nesterov ? m2.map((m, i) => 0.95 * m + 0.05 * gradients[k]![i]!) : m2
      const second = orthogonal64(ahead, rows, param.size / rows, 5)
      const actual = await floats(param)
      const limit = tolerance * (1 + rate)
      actual.forEach((x, i) => {
        const expected = (before[k]![i]! * 0.9 - rate * first[i]!) * 0.9 - rate * second[i]!
        if (!(Math.abs(x - expected) <= limit)) throw new Error(`[${param.shape}] ${i}: ${x}, not ${expected}`)
      })
      const kept = await floats(momentum)
      expect(m2.every((m, i) => Math.abs(kept[i]! - m) < 1e-7)).toBe(true)
      expect(fromBFloat16Bits((await copy!.read()) as Uint16Array)).toEqual(actual.map(roundToBFloat16))
    }
    expect(memory().guardViolations).toBe(0)
  })

  it.each([
    [false, 1e-4, [0.8246, -0.1269, 0.1903, 0.3345, 0.3686, -0.5529]],
    [true, 0.02, [0.8047, -0.125, 0.2031, 0.3164, 0.3594, -0.5156]],
  ])('follows a published step, bfloat16 %s within %d', async (half, tolerance, expected) => {
    setCpuTarget(target)
    const gradient = tensor([0.1, -0.2, 0.3, -0.05, 0.4, -0.6], [2, 3])
    const slot = slotOf('x', [2, 3], { param: zeros([2, 3]), gradient, rate: -1 })
    muonStep([slot], { half })
    const actual = await floats(slot.param)
    expected.forEach((x, i) => {
      expect(Math.abs(actual[i]! - x)).toBeLessThan(tolerance)
    })
  })

  it('gives the same bits on 1 and 2 threads and whatever is stepped beside a matrix', async () => {
    setCpuTarget(target)
    const shapes: readonly Shape[] = [
      [300, 200],
      [8, 320],
      [8, 320],
      [320, 8],
      [70, 3, 3, 40],
    ]
    const run = async (threads: number, count = shapes.length): Promise<Float32Array[]> => {
      setThreadCount(threads)
      const slots = shapes.slice(0, count).map((shape, k) => slotOf(`${k}`, shape))
      for (let t = 0; t < 2; t++) muonStep(slots)
      return Promise.all(slots.map(({ param }) => floats(param)))
    }
    const one = await run(1)
    expect(await run(2)).toEqual(one)
    expect(await run(2, 2)).toEqual(one.slice(0, 2))
  })

  it('scales gradients by the clip factor, and changes nothing when the norm is not finite', async () => {
    setCpuTarget(target)
    const slot = slotOf('clip', [3, 4], { gradient: full([3, 4], 10) })
    muonStep([slot], { clip: gradientNorm([slot.gradient], 1) })
    const momentum = await floats(slot.momentum)
    expect(momentum[0]).toBeCloseTo(0.05 / Math.sqrt(12), 6)
    const [before, gradient] = [await floats(slot.param), full([3, 4], Number.NaN)]
    muonStep([{ ...slot, gradient }], { clip: gradientNorm([gradient], 1) })
    expect(await floats(slot.param)).toEqual(before)
    expect(await floats(slot.momentum)).toEqual(momentum)
  })
  it('leaves a matrix alone whose gradients were all zero', async () => {
    setCpuTarget(target)
    const slot = slotOf('zero', [3, 4], { gradient: zeros([3, 4]) })
    const before = await floats(slot.param)
    muonStep([slot])
    expect(await floats(slot.param)).toEqual(before)
  })
})

describe('muonStep', () => {
  it('rejects what is no matrix and tensors of other shapes', () => {
    expect(() => muonStep([slotOf('x', [5])])).toThrow('muonStep: param must be a matrix, or a tensor of more axes')
    expect(() => muonStep([slotOf('x', [5, 2], { momentum: zeros([2, 5]) })])).toThrow(
      'muonStep: momentum must be of shape [5, 2], received [2, 5]',
    )
  })
})

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { addon } from '../../lib/native/load.ts'
import { gradientNorm } from '../../lib/ops/gradientNorm.ts'
import { type OptimizerStepOptions, optimizerStep } from '../../lib/ops/optimizerStep.ts'
import { blockCount } from '../../lib/ops/quantizeBlockwise.ts'
import { full, tensor, zeros } from '../../lib/tensor/create.ts'
import { cpuTargets, memory, setCpuTarget, setThreadCount } from '../../lib/tensor/runtime.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import { float16ToFloat32, float32ToFloat16 } from '../../lib/util/float16.ts'
import { type AdamWHyperparameters, type AdamWSlot, adamWStep } from '../support/adamWStep.ts'
import { fromBFloat16Bits, pseudoRandom, roundToBFloat16 } from '../support/float64.ts'

beforeAll(() => addon.setMemoryGuards(true))
afterAll(() => {
  addon.setMemoryGuards(false)
  setThreadCount(2)
})

const group: AdamWHyperparameters = { learningRate: 0.01, beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0.1 }

function slot(param: Tensor, gradient: Tensor, codes: boolean, copy: Tensor | null = null): AdamWSlot {
  const state = (): Tensor => zeros(param.shape, { dtype: codes ? 'uint8' : 'float32' })
  const scales = (): Tensor | null => (codes ? zeros([blockCount(param.size)]) : null)
  return {
    param,
    gradient,
    state1: state(),
    state2: state(),
    absmax1: scales(),
    absmax2: scales(),
    copy,
    group: 0,
    step: 1,
  }
}

async function floats(x: Tensor | null): Promise<Float32Array> {
  return (await x!.read()) as Float32Array
}

describe.each(cpuTargets())('optimizerStep by the rule of AdamW on %s', (target) => {
  it('follows published float32 steps', async () => {
    setCpuTarget(target)
    const param = tensor([0.5, -0.25, 1, -2, 0.125, 0.75], [2, 3])
    const first = slot(param, zeros([2, 3]), false)
    const gradients = [
      [0.1, -0.2, 0.3, -0.05, 0.4, -0.6],
      [0.2, 0.1, -0.1, 0.3, -0.25, 0.15],
      [-0.3, 0.05, 0.6, 0.02, 0.01, -0.45],
    ]
    gradients.forEach((g, i) => {
      adamWStep([{ ...first, gradient: tensor(g, [2, 3]), step: i + 1 }], [group])
    })
    const expected = [0.47954535, -0.23599616, 0.97593105, -1.9954909, 0.11143405, 0.76911652]
    const actual = await floats(param)
    expected.forEach((x, i) => {
      expect(Math.abs(actual[i]! - x)).toBeLessThan(1e-6)
    })
  })

  it('follows published 8-bit steps', async () => {
    setCpuTarget(target)
    const count = 4096
    const index = Array.from({ length: count }, (_, i) => i)
    const param = tensor(
      Float32Array.from(index, (i) => Math.sin(0.37 * i)),
      [count],
    )
    const first = slot(param, param, true)
    for (const step of [1, 2, 3]) {
      const g = Float32Array.from(index, (i) => Math.cos(0.11 * i * step) * Math.exp(-((7919 * i) % 97) / 20))
      adamWStep([{ ...first, gradient: tensor(g, [count]), step }], [{ ...group, weightDecay: 0.01 }], {
        decayAfter: true,
        skipInvalid: true,
      })
    }
    const at = [0, 1, 2, 255, 256, 1000, 4095]
    const p = await floats(param)
    const params = [-0.0299939942, 0.331381351, 0.644243658, 0.115028068, 0.467712998, -0.637231588, 0.804455936]
    at.forEach((i, k) => {
      expect(Math.abs(p[i]! - params[k]!)).toBeLessThan(2e-6)
    })
    expect(p.reduce((a, b) => a + b, 0)).toBeCloseTo(5.95995, 3)
    const codes1 = (await first.state1.read()) as Uint8Array
    const codes2 = (await first.state2.read()) as Uint8Array
    expect(at.map((i) => codes1[i])).toEqual([255, 171, 200, 109, 93, 60, 107])
    expect(at.map((i) => codes2[i])).toEqual([255, 34, 94, 10, 35, 140, 62])
    expect(Math.abs(codes1.reduce((a, b) => a + b, 0) - 488337)).toBeLessThan(40)
    expect(Math.abs(codes2.reduce((a, b) => a + b, 0) - 257763)).toBeLessThan(40)
    const scales1 = await floats(first.absmax1)
    const scales2 = await floats(first.absmax2)
    ;[0.271000057, 0.227867484, 0.21902217].forEach((x, i) => {
      expect(Math.abs(scales1[i]! / x - 1)).toBeLessThan(1e-6)
    })
    ;[0.00299696252, 0.00295172189, 0.00256233895].forEach((x, i) => {
      expect(Math.abs(scales2[i]! / x - 1)).toBeLessThan(1e-6)
    })
  })

  it('refreshes a float16 copy, beyond its range too', async () => {
    setCpuTarget(target)
    const values = Float32Array.from([...pseudoRandom('p', 37), 65519, 65520, -1e9, 1e-7, 3e-8, 0])
    const param = tensor(values, [values.length])
    const copy = zeros([values.length], { dtype: 'float16' })
    adamWStep([slot(param, tensor(pseudoRandom('g', values.length), [values.length]), false, copy)], [group])
    expect(await copy.read()).toEqual(float32ToFloat16(await floats(param)))
  })

  it.each([false, true])('steps tensors of all sizes alike on 1 and 2 threads, codes %s', async (codes) => {
    setCpuTarget(target)
    const sizes = [1, 17, 256, 257, 16384, 40001]
    const results: unknown[] = []
    for (const threads of [1, 2]) {
      setThreadCount(threads)
      const slots = sizes.map((size, i) => {
        const param = tensor(pseudoRandom(`p${i}`, size), [size])
        return slot(param, tensor(pseudoRandom(`g${i}`, size), [size]), codes, zeros([size], { dtype: 'bfloat16' }))
      })
      for (const step of [1, 2])
        adamWStep(
          slots.map((s) => ({ ...s, step })),
          [group],
        )
      for (const { param, copy, state1 } of slots) {
        const p = await floats(param)
        expect(fromBFloat16Bits((await copy!.read()) as Uint16Array)).toEqual(p.map(roundToBFloat16))
        results.push([threads, p, await state1.read()])
      }
    }
    const half = sizes.length
    for (let i = 0; i < half; i++) expect((results[i] as unknown[])[1]).toEqual((results[i + half] as unknown[])[1])
    for (let i = 0; i < half; i++) expect((results[i] as unknown[])[2]).toEqual((results[i + half] as unknown[])[2])
    expect(memory().guardViolations).toBe(0)
  })

  async function stepOnce(gradient: readonly number[], options: OptimizerStepOptions, codes = false) {
    const s = slot(tensor([1, 2, 3], [3]), tensor(gradient, [3]), codes)
    adamWStep([s], [group], options)
    return { p: Array.from(await floats(s.param)), m: await s.state1.read() }
  }

  it('scales gradients by the clip factor without reading it', async () => {
    setCpuTarget(target)
    const clip = gradientNorm([tensor([30, 40, 0], [3])], 5)
    const clipped = await stepOnce([30, 40, 0], { clip })
    const { p, m } = await stepOnce([3, 4, 0], {})
    clipped.p.forEach((x, i) => {
      expect(x).toBeCloseTo(p[i]!, 6)
    })
    expect((clipped.m as Float32Array)[0]).toBeCloseTo((m as Float32Array)[0]!, 6)
  })
  it('changes nothing when the norm is not finite', async () => {
    setCpuTarget(target)
    const gradient = [Number.POSITIVE_INFINITY, 1, 1]
    const { p, m } = await stepOnce(gradient, { clip: gradientNorm([tensor(gradient, [3])], 1) })
    expect(p).toEqual([1, 2, 3])
    expect(m).toEqual(new Float32Array(3))
  })
  it.each([false, true])('leaves an element alone whose gradient is not finite, codes %s', async (codes) => {
    setCpuTarget(target)
    const { p } = await stepOnce([Number.NaN, 1, Number.NEGATIVE_INFINITY], { skipInvalid: true }, codes)
    expect(p[0]).toBe(1)
    expect(p[1]).toBeCloseTo(2 * 0.999 - 0.01, 5)
    expect(p[2]).toBe(3)
  })
  it('never rounds a negative moment to zero', async () => {
    setCpuTarget(target)
    const s = slot(tensor([1, 1], [2]), tensor([1, -1e-9], [2]), true)
    adamWStep([s], [group])
    expect(Array.from((await s.state1.read()) as Uint8Array)).toEqual([255, 126])
  })
})

describe.each(cpuTargets())('stochastic rounding on %s', (target) => {
  const count = 100_003
  const step = async (seed: bigint, threads: number): Promise<Float32Array> => {
    setCpuTarget(target)
    setThreadCount(threads)
    // A change far below half a unit in the last place of bfloat16: rounding to nearest would lose it.
    const param = full([count], 1, { dtype: 'bfloat16' })
    const slot = { param, gradient: full([count], 1), states: [null], absmax: [null], copy: null, row: 0 }
    optimizerStep('sgd', [slot], [{ mode: 2, constants: [0, 1, 0.001, 0] }], { roundingSeed: seed })
    return fromBFloat16Bits((await param.read()) as Uint16Array)
  }

  it('keeps small changes on average, as a function of the seed', async () => {
    const [first, again, other] = [await step(7n, 1), await step(7n, 2), await step(8n, 2)]
    expect(again).toEqual(first)
    expect(other).not.toEqual(first)
    expect(new Set(first)).toEqual(new Set([1, 1 - 2 ** -8]))
    const mean = first.reduce((sum, x) => sum + x, 0) / count
    // One standard deviation of the mean is 2^-8 sqrt(p (1 - p) / n) = 5.4e-6.
    expect(Math.abs(mean - 0.999)).toBeLessThan(3e-5)
  })
  it.each([
    // start, its step in float16, what is left after the change of a tenth of one
    ['normal', 1 + 2 ** -10, 2 ** -10],
    ['negative', -3, 2 ** -9],
    ['subnormal', 2 ** -20, 2 ** -24],
    ['smallest', 2 ** -24, 2 ** -24],
  ])('keeps a tenth of a float16 step on average: %s numbers', async (_, start, unit) => {
    setCpuTarget(target)
    const param = full([count], start, { dtype: 'float16' })
    const slot = { param, gradient: full([count], 1), states: [null], absmax: [null], copy: null, row: 0 }
    optimizerStep('sgd', [slot], [{ mode: 2, constants: [0, 1, 0.1 * unit, 0] }], { roundingSeed: 7n })
    const values = float16ToFloat32((await param.read()) as Uint16Array)
    expect(new Set(values)).toEqual(new Set([start, start - unit]))
    const mean = values.reduce((sum, x) => sum + (start - x) / unit, 0) / count
    // One standard deviation of the mean is sqrt(p (1 - p) / n) = 9.5e-4.
    expect(Math.abs(mean - 0.1)).toBeLessThan(5e-3)
  })
  it('rounds float16 numbers at the end of the range to nearest', async () => {
    setCpuTarget(target)
    const param = tensor(Uint16Array.of(0x7bff, 0xfbff, 0x7c00, 0x7e00), [4], { dtype: 'float16' })
    const slot = { param, gradient: tensor([-100, 10, 1, 1], [4]), states: [null], absmax: [null], copy: null, row: 0 }
    optimizerStep('sgd', [slot], [{ mode: 2, constants: [0, 1, 1, 0] }], { roundingSeed: 7n })
    expect([...float16ToFloat32((await param.read()) as Uint16Array)]).toEqual([
      Number.POSITIVE_INFINITY,
      -65504,
      Number.POSITIVE_INFINITY,
      Number.NaN,
    ])
  })
})

describe('optimizerStep', () => {
  it('rejects a gradient of another shape', () => {
    expect(() => adamWStep([slot(full([3], 1), full([2], 1), false)], [group])).toThrow(
      'optimizerStep: gradient must be of shape [3], received [2]',
    )
  })

  it('rejects a slot with too few states', () => {
    const slot = { param: full([3], 1), gradient: full([3], 1), states: [], absmax: [], copy: null, row: 0 }
    expect(() => optimizerStep('lion', [slot], [{ constants: [] }])).toThrow(
      'optimizerStep: states must be 1 for lion, received 0',
    )
  })
})

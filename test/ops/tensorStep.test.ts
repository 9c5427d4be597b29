import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { addon } from '../../lib/native/load.ts'
import { gradientNorm } from '../../lib/ops/gradientNorm.ts'
import { type FactoredAxes, type TensorSlot, tensorStep } from '../../lib/ops/tensorStep.ts'
import { tensor, zeros } from '../../lib/tensor/create.ts'
import { cpuTargets, memory, setCpuTarget, setThreadCount } from '../../lib/tensor/runtime.ts'
import type { Shape } from '../../lib/tensor/shape.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import { fromBFloat16Bits, pseudoRandom, roundToBFloat16 } from '../support/float64.ts'
import { adaFactor, came, manual, type RuleCase, rules, stable, stateShapes } from '../support/tensorRules.ts'
import { type Tensor64, tensorStep64 } from '../support/tensorStep64.ts'

beforeAll(() => addon.setMemoryGuards(true))
afterAll(() => {
  addon.setMemoryGuards(false)
  setThreadCount(2)
})

function slotOf(rule: RuleCase, param: Tensor, axes: FactoredAxes | null): Omit<TensorSlot, 'gradient'> {
  const states = stateShapes(rule, param.shape, axes).map((shape) => shape && zeros(shape))
  const copy = zeros(param.shape, { dtype: 'bfloat16' })
  return { param, states, copy, axes: rule.rule === 'stableAdamW' ? null : axes, row: 0, rateIndex: null }
}

const floats = async (x: Tensor): Promise<Float32Array> => (await x.read()) as Float32Array

/** Several blocks of rows, wide rows, few columns, kernels, many sheets, and tensors that are not factored. */
const tensors: readonly (readonly [Shape, FactoredAxes | null])[] = [
  [
    [700, 33],
    [1, 700, 33, 1],
  ],
  [
    [3, 5003],
    [1, 3, 5003, 1],
  ],
  [
    [130, 1],
    [1, 130, 1, 1],
  ],
  [
    [4, 9, 21],
    [4, 9, 21, 1],
  ],
  [
    [5, 3, 3, 37],
    [5, 3, 3, 37],
  ],
  [
    [12, 40],
    [12, 1, 1, 40],
  ],
  [
    [2, 70, 5, 3],
    [2, 70, 5, 3],
  ],
  [[20_001], null],
  [[1], null],
]

describe.each(cpuTargets())('tensorStep on %s', (target) => {
  it.each(rules)('steps tensors of all kinds by the formulas of $name', async (rule) => {
    setCpuTarget(target)
    const slots = tensors.map(([shape, axes], k) => {
      const size = shape.reduce((a, b) => a * b, 1)
      return slotOf(rule, tensor(pseudoRandom(`p${k}`, size), shape), axes)
    })
    const exact = slots.map(
      ({ param, axes, states }, k): Tensor64 => ({
        p: Float64Array.from(pseudoRandom(`p${k}`, param.size)),
        states: states.map((state) => (state ? new Float64Array(state.size) : undefined)) as Float64Array[],
        axes,
      }),
    )
    for (const t of [1, 2, 3]) {
      const numbers = rule.numbers(t)
      const gradients = slots.map(({ param }, k) => pseudoRandom(`g${k}/${t}`, param.size).map((x) => x * t))
      tensorStep(
        rule.rule,
        slots.map((slot, k) => ({ ...slot, gradient: tensor(gradients[k]!, slot.param.shape) })),
        [numbers],
      )
      exact.forEach((one, k) => {
        tensorStep64(rule.rule, one, Array.from(gradients[k]!), numbers)
      })
    }
    for (const [k, { param, copy, states }] of slots.entries()) {
      const actual = await floats(param)
      const worst = exact[k]!.p.reduce((most, x, i) => Math.max(most, Math.abs(actual[i]! - x) / (1 + Math.abs(x))), 0)
      expect(worst, `[${param.shape}]`).toBeLessThan(2e-6)
      expect(fromBFloat16Bits((await copy!.read()) as Uint16Array)).toEqual(actual.map(roundToBFloat16))
      for (const [i, state] of states.entries()) {
        if (!state) continue
        const values = await floats(state)
        const wrong = exact[k]!.states[i]!.findIndex((x, j) => !(Math.abs(values[j]! - x) <= 2e-6 + 5e-6 * Math.abs(x)))
        expect(wrong, `state ${i} of [${param.shape}]`).toBe(-1)
      }
    }
    expect(memory().guardViolations).toBe(0)
  })

  it.each(rules)('gives the same bits on 1 and 2 threads: $name', async (rule) => {
    setCpuTarget(target)
    const run = async (threads: number): Promise<Float32Array[]> => {
      setThreadCount(threads)
      const shapes: readonly Shape[] = [[9, 64], [1500, 700], [24, 3, 3, 50], [1700, 700], [33], [40_001]]
      const slots = shapes.map((shape, k) => {
        const size = shape.reduce((a, b) => a * b, 1)
        const axes = shape.length === 1 ? null : shape.length === 2 ? ([1, ...shape, 1] as const) : shape
        const param = tensor(pseudoRandom(`p${k}`, size), shape)
        const gradient = tensor(pseudoRandom(`g${k}`, size), shape)
        return { ...slotOf(rule, param, axes as FactoredAxes | null), gradient }
      })
      for (const t of [1, 2]) tensorStep(rule.rule, slots, [rule.numbers(t)])
      return Promise.all(slots.flatMap(({ param, states }) => [param, ...states.flatMap((s) => s ?? [])]).map(floats))
    }
    const [one, two] = [await run(1), await run(2)]
    expect(two.findIndex((values, k) => Buffer.compare(Buffer.from(values.buffer), Buffer.from(one[k]!.buffer)))).toBe(
      -1,
    )
  })

  it.each([
    ['adaFactor', adaFactor({}), false, [0.48348349, -0.25010204, 0.98165435, -2.0085051, 0.12371638, 0.7652567]],
    [
      'adaFactor',
      adaFactor({ warmupInit: true }),
      false,
      [0.49999985, -0.25000113, 0.99999577, -2.0000021, 0.12500057, 0.75000328],
    ],
    [
      'adaFactor',
      adaFactor({ ...manual, learningRate: 1e-3, weightDecay: 0.01, beta1: 0.9 }),
      true,
      [0.49939492, -0.24990255, 0.99968183, -2.0000598, 0.12490588, 0.75024742],
    ],
    ['came', came, true, [0.15371647, -0.15411441, 0.77202165, -2.0692956, -0.023932213, 1.075622]],
    ['stableAdamW', stable, false, [0.48087862, -0.23664445, 0.97861797, -2.00086, 0.1117451, 0.77117902]],
  ] as const)('follows published steps of %s', async (name, numbers, moment, expected) => {
    setCpuTarget(target)
    const rule = { name, rule: name, numbers, moment }
    const slot = slotOf(rule, tensor([0.5, -0.25, 1, -2, 0.125, 0.75], [2, 3]), [1, 2, 3, 1])
    const gradients = [
      [0.1, -0.2, 0.3, -0.05, 0.4, -0.6],
      [0.2, 0.1, -0.1, 0.3, -0.25, 0.15],
      [-0.3, 0.05, 0.6, 0.02, 0.01, -0.45],
    ]
    gradients.forEach((g, i) => {
      tensorStep(name, [{ ...slot, gradient: tensor(g, [2, 3]) }], [numbers(i + 1)])
    })
    const actual = await floats(slot.param)
    expected.forEach((x, i) => {
      expect(Math.abs(actual[i]! - x)).toBeLessThan(2e-6)
    })
  })

  const stepOnce = async (rule: RuleCase, gradient: readonly number[], maxNorm?: number): Promise<number[]> => {
    const slot = slotOf(rule, tensor([1, 2, 3, 4], [2, 2]), [1, 2, 2, 1])
    const g = tensor(gradient, [2, 2])
    tensorStep(rule.rule, [{ ...slot, gradient: g }], [rule.numbers(1)], {
      clip: maxNorm === undefined ? null : gradientNorm([g], maxNorm),
    })
    const values = await Promise.all([slot.param, ...slot.states.flatMap((s) => s ?? [])].map(floats))
    return values.flatMap((x) => Array.from(x))
  }
  it.each(rules)('scales gradients by the clip factor without reading it: $name', async (rule) => {
    setCpuTarget(target)
    const clipped = await stepOnce(rule, [30, 40, 0, 0], 5)
    const plain = await stepOnce(rule, [3, 4, 0, 0])
    clipped.forEach((x, i) => {
      expect(Math.abs(x - plain[i]!)).toBeLessThanOrEqual(1e-5 * Math.abs(plain[i]!))
    })
  })
  it.each([
    [1.2e-19, 0.99],
    [1e-10, 0.99],
    [1e10, 0.99],
    [1e18, 0.99],
    [0, Number.NaN],
  ])('without eps, gradients of %s make a parameter of 1 what PyTorch makes of it: %s', async (g, expected) => {
    setCpuTarget(target)
    const rule = { name: 'AdaFactor', rule: 'adaFactor', numbers: adaFactor({ eps: [0, 1e-3] }) } as const
    for (const axes of [null, [1, 3, 7, 1]] as const) {
      const shape = axes ? [3, 7] : [21]
      const [ones, gradient] = [1, g].map((x) => tensor(new Float32Array(21).fill(x), shape))
      const slot = slotOf(rule, ones!, axes)
      tensorStep('adaFactor', [{ ...slot, gradient: gradient! }], [rule.numbers(1)])
      for (const x of await floats(slot.param)) expect(Math.round(1e6 * x) / 1e6).toBe(expected)
    }
  })
  it.each(rules)('changes nothing when the norm is not finite: $name', async (rule) => {
    setCpuTarget(target)
    const values = await stepOnce(rule, [Number.NaN, 1, 2, 3], 1)
    expect(values.slice(0, 4)).toEqual([1, 2, 3, 4])
    expect(values.slice(4).every((x) => x === 0)).toBe(true)
  })
})

describe('tensorStep', () => {
  const slot = (): TensorSlot => ({ ...slotOf(rules[0]!, zeros([2, 3]), [1, 2, 3, 1]), gradient: zeros([2, 3]) })
  const numbers = [rules[0]!.numbers(1)]

  it('reports the rate that a parameter was stepped with', async () => {
    const rates = tensor([7, 7], [2])
    const one = { ...slot(), param: tensor([3, 4, 0, 0, 0, 0], [2, 3]), rateIndex: 1 }
    tensorStep('adaFactor', [slot(), one], numbers, { rates })
    const [first, second] = await floats(rates)
    expect(first).toBe(7)
    expect(second).toBeCloseTo(0.01 * Math.sqrt(25 / 6), 7)
  })
  it('rejects a slot with too few states', () => {
    expect(() => tensorStep('adaFactor', [{ ...slot(), states: [] }], numbers)).toThrow(
      'tensorStep: states must be 3 for adaFactor, received 0',
    )
  })
  it('rejects a gradient of another shape and rows that are not there', () => {
    expect(() => tensorStep('adaFactor', [{ ...slot(), gradient: zeros([3, 2]) }], numbers)).toThrow(
      'tensorStep: gradient must be of shape [2, 3], received [3, 2]',
    )
    expect(() => tensorStep('adaFactor', [{ ...slot(), row: 1 }], numbers)).toThrow('row must be less than 1')
  })
  it('rejects axes and states that do not fit the parameter', () => {
    expect(() => tensorStep('adaFactor', [{ ...slot(), axes: [1, 3, 3, 1] }], numbers)).toThrow('axes of parameter 0')
    expect(() => tensorStep('adaFactor', [{ ...slot(), axes: [1, 3, 2, 1] }], numbers)).toThrow(
      'state 0 of parameter 0',
    )
  })
})

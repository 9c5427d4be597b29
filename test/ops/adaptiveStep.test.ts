import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { addon } from '../../lib/native/load.ts'
import {
  type AdaptiveRule,
  type AdaptiveSlot,
  adaptiveRuleStates,
  adaptiveScalars,
  adaptiveStep,
  readAdaptiveScalars,
} from '../../lib/ops/adaptiveStep.ts'
import { gradientNorm } from '../../lib/ops/gradientNorm.ts'
import { full, tensor, zeros } from '../../lib/tensor/create.ts'
import { cpuTargets, memory, setCpuTarget, setThreadCount } from '../../lib/tensor/runtime.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import { groups, settings } from '../support/adaptiveSettings.ts'
import { fromBFloat16Bits, pseudoRandom, roundToBFloat16 } from '../support/float64.ts'

beforeAll(() => addon.setMemoryGuards(true))
afterAll(() => {
  addon.setMemoryGuards(false)
  setThreadCount(2)
})

const rules = Object.keys(adaptiveRuleStates) as AdaptiveRule[]

/** Rules, and Prodigy with slices. */
const kinds: readonly (readonly [AdaptiveRule, number])[] = [
  ...rules.map((rule) => [rule, 1] as const),
  ['prodigy', 2],
  ['prodigy', 7],
]

function slot(rule: AdaptiveRule, param: Tensor, gradient: Tensor, row: number, sliceP = 1): AdaptiveSlot {
  const states = Array.from({ length: adaptiveRuleStates[rule] }, (_, k) =>
    zeros(sliceP > 1 && k >= 2 ? [Math.ceil(param.size / sliceP)] : param.shape),
  )
  return { param, gradient, states, copy: zeros(param.shape, { dtype: 'bfloat16' }), row, fresh: true }
}

describe.each(cpuTargets())('adaptiveStep on %s', (target) => {
  it.each(kinds)('steps tensors of all sizes alike on 1 and 2 threads: %s, slice %i', async (rule, sliceP) => {
    setCpuTarget(target)
    const sizes = [1, 6, 17, 256, 257, 16384, 40001]
    const run = async (threads: number): Promise<unknown> => {
      setThreadCount(threads)
      const scalars = adaptiveScalars(1e-3)
      const slots = sizes.map((size, i) => {
        const values = pseudoRandom(`p${i}`, size)
        return slot(rule, tensor(values, [size]), tensor(values, [size]), i % 2, sliceP)
      })
      const given = { ...settings, sliceP }
      adaptiveStep(rule, slots, groups, given, scalars)
      const later = slots.map((s) => ({ ...s, fresh: false }))
      for (let t = 0; t < 4; t++) adaptiveStep(rule, later, groups, given, scalars)
      const results: unknown[] = [await readAdaptiveScalars(scalars)]
      for (const { param, copy, states } of slots) {
        const p = (await param.read()) as Float32Array
        expect(p.every(Number.isFinite)).toBe(true)
        expect(fromBFloat16Bits((await copy!.read()) as Uint16Array)).toEqual(p.map(roundToBFloat16))
        results.push(p, await Promise.all(states.map((state) => state!.read())))
      }
      return results
    }
    const first = await run(1)
    expect(await run(2)).toEqual(first)
    expect((first as { d: number }[])[0]!.d).toBeGreaterThan(1e-3)
    expect(memory().guardViolations).toBe(0)
  })

  it('keeps every n-th element of a sliced first parameter, and estimates from those', async () => {
    setCpuTarget(target)
    const size = 1000
    const values = pseudoRandom('p', size)
    const [sliced, dense] = [3, 1].map((sliceP) => {
      // Without gradients in between, the elements that are not kept have no part in the estimate.
      const g = pseudoRandom('g', size).map((x, i) => (i % 3 === 0 ? x : 0))
      const s = slot('prodigy', tensor(values, [size]), tensor(g, [size]), 0, sliceP)
      const scalars = adaptiveScalars(1e-3)
      adaptiveStep('prodigy', [s], groups, { ...settings, sliceP }, scalars)
      for (let t = 0; t < 3; t++) {
        adaptiveStep('prodigy', [{ ...s, fresh: false }], groups, { ...settings, sliceP }, scalars)
      }
      return { s, scalars }
    })
    const kept = (await sliced!.s.states[3]!.read()) as Float32Array
    expect(kept).toEqual(values.filter((_, i) => i % 3 === 0))
    const [a, b] = [await readAdaptiveScalars(sliced!.scalars), await readAdaptiveScalars(dense!.scalars)]
    expect(a.denominator / b.denominator).toBeCloseTo(1, 6)
    expect(a.weighted / b.weighted).toBeCloseTo(1, 4)
  })

  it.each(rules)('changes nothing but the kept first parameter when the norm is not finite: %s', async (rule) => {
    setCpuTarget(target)
    const gradient = tensor([Number.POSITIVE_INFINITY, 1, 1], [3])
    const s = slot(rule, tensor([1, 2, 3], [3]), gradient, 0)
    const scalars = adaptiveScalars(1e-3)
    adaptiveStep(rule, [s], groups, settings, scalars, { clip: gradientNorm([gradient], 1) })
    expect(await s.param.read()).toEqual(new Float32Array([1, 2, 3]))
    expect(await readAdaptiveScalars(scalars)).toMatchObject({ d: 1e-3, k: 0, weighted: 0 })
    const states = await Promise.all(s.states.map((state) => state!.read()))
    for (const values of states) expect([new Float32Array(3), new Float32Array([1, 2, 3])]).toContainEqual(values)
  })
})

describe('adaptiveStep', () => {
  const scalars = (): Tensor => adaptiveScalars(1e-6)
  it('rejects a gradient of another shape', () => {
    const wrong = slot('dAdaptLion', full([3], 1), full([2], 1), 0)
    expect(() => adaptiveStep('dAdaptLion', [wrong], groups, settings, scalars())).toThrow(
      'adaptiveStep: gradient must be of shape [3], received [2]',
    )
  })
  it('rejects a slot with too few states', () => {
    const wrong = { ...slot('prodigy', full([3], 1), full([3], 1), 0), states: [] }
    expect(() => adaptiveStep('prodigy', [wrong], groups, settings, scalars())).toThrow(
      'adaptiveStep: states must be 4 for prodigy, received 0',
    )
  })
  it('rejects states that do not fit, and scalars of another kind', () => {
    const wrong = slot('prodigy', full([30], 1), full([30], 1), 0)
    expect(() => adaptiveStep('prodigy', [wrong], groups, { ...settings, sliceP: 2 }, scalars())).toThrow(
      'state 3 of parameter 0 does not fit it',
    )
    expect(() => adaptiveStep('prodigy', [wrong], groups, settings, zeros([8]))).toThrow(
      'adaptiveStep: scalars must be int64, received float32',
    )
  })
  it('rejects slices of other rules', () => {
    const one = slot('dAdaptLion', full([3], 1), full([3], 1), 0)
    expect(() => adaptiveStep('dAdaptLion', [one], groups, { ...settings, sliceP: 2 }, scalars())).toThrow(
      'only prodigy slices its states',
    )
  })
  it('carries d through its bits', async () => {
    expect(await readAdaptiveScalars(adaptiveScalars(0.1))).toEqual({
      d: 0.1,
      dMax: 0.1,
      weighted: 0,
      k: 0,
      firstNorm: 0,
      sksq: 0,
      skl1: 0,
      denominator: 0,
    })
  })
})

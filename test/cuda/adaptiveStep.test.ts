/** Optimizers that find their own step size: their CUDA kernels in the emulation, compared with the CPU's. */
import { describe, expect, it } from 'vitest'
import {
  type AdaptiveRule,
  type AdaptiveSettings,
  adaptiveRuleStates,
  adaptiveScalars,
  adaptiveStep,
  readAdaptiveScalars,
} from '../../lib/ops/adaptiveStep.ts'
import { full, tensor } from '../../lib/tensor/create.ts'
import type { FloatDType } from '../../lib/tensor/dtype.ts'
import type { DeviceName, Tensor } from '../../lib/tensor/tensor.ts'
import { settings as common, groups } from '../support/adaptiveSettings.ts'
import { expectCloseOnGpu } from '../support/closeOnGpu.ts'
import { canEmulate } from '../support/emulatedGpu.ts'
import { pseudoRandom } from '../support/float64.ts'
import { roundedTensor } from '../support/opSuite.ts'
import { expectSameBits } from '../support/sameOnGpu.ts'

const settings: AdaptiveSettings = { ...common, growthRate: 1.5 }
const rules = Object.keys(adaptiveRuleStates) as AdaptiveRule[]
const sizes = [1, 6, 4096, 9001]

/** Rules, and settings that take other branches. */
const kinds: readonly (readonly [string, AdaptiveRule, Partial<AdaptiveSettings>])[] = [
  ...rules.map((rule) => [rule, rule, {}] as const),
  ['prodigy with slices', 'prodigy', { sliceP: 7 }],
  ['prodigy without a first moment', 'prodigy', { beta1: 0, safeguardWarmup: false }],
  ['coupled decay', 'dAdaptAdam', { decouple: false, useBiasCorrection: false }],
  ['coupled decay and slices', 'prodigy', { decouple: false, sliceP: 3 }],
  ['a proximal step', 'dAdaptAdan', { noProx: false }],
]

/** Six steps on one device: the parameters, their copies and states. */
function run(rule: AdaptiveRule, given: AdaptiveSettings, scalars: Tensor, device: DeviceName, clip?: Tensor) {
  const slots = sizes.map((size, i) => {
    const count = (k: number): number => (given.sliceP > 1 && k >= 2 ? Math.ceil(size / given.sliceP) : size)
    const firstOf = (k: number): number => (rule.startsWith('dAdaptAdan') && k === 4 ? Number.NaN : 0)
    return {
      param: tensor(pseudoRandom(`p${i}`, size), [size], { device }),
      gradient: tensor(pseudoRandom(`p${i}`, size), [size], { device }), // along which d grows
      states: Array.from({ length: adaptiveRuleStates[rule] }, (_, k) =>
        given.beta1 === 0 && k === 0 ? null : full([count(k)], firstOf(k), { device }),
      ),
      copy: i % 2 ? full([size], 0, { dtype: 'bfloat16', device }) : null,
      row: i % 2,
      fresh: true,
    }
  })
  for (let t = 0; t < 6; t++) {
    const now = slots.map((slot) => ({ ...slot, fresh: t === 0 }))
    adaptiveStep(rule, now, groups, given, scalars, { clip: clip ?? null })
  }
  return slots.flatMap(({ param, copy, states }) => [param, copy, ...states].filter((x) => x !== null))
}

describe.runIf(canEmulate)('optimizers that find their step size, on the GPU', () => {
  it.each(kinds)('step as on the CPU: %s', async (_name, rule, change) => {
    const found: Tensor[] = []
    await expectCloseOnGpu(
      (device) => {
        const scalars = adaptiveScalars(settings.d0, device)
        found.push(scalars)
        return run(rule, { ...settings, ...change }, scalars, device)
      },
      [{ rms: 2e-6, max: 2e-5, relative: 1e-5 }],
    )
    const [onCpu, ...onGpu] = await Promise.all(found.map(readAdaptiveScalars))
    expect(onCpu!.d).toBeGreaterThan(settings.d0)
    for (const scalars of onGpu) {
      expect(scalars).toEqual(onGpu[0])
      for (const [name, x] of Object.entries(onCpu!))
        expect(Math.abs(scalars[name as keyof typeof scalars] - x), name).toBeLessThanOrEqual(1e-5 * Math.abs(x))
    }
  })

  it.each(rules)('change nothing but the kept first parameter when the norm is not finite: %s', async (rule) => {
    await expectSameBits((device) => {
      const clip = tensor([Number.POSITIVE_INFINITY, 0], [2], { device })
      const scalars = adaptiveScalars(settings.d0, device)
      return [...run(rule, settings, scalars, device, clip), scalars]
    })
  })
  it('do not count a step without gradients', async () => {
    await expectSameBits((device) => {
      const scalars = adaptiveScalars(settings.d0, device)
      const [param, gradient, state] = [1, 0, 0].map((x) => full([5], x, { device }))
      const slot = { param: param!, gradient: gradient!, states: [state!, full([5], 0, { device })] }
      adaptiveStep('dAdaptSgd', [{ ...slot, copy: null, row: 0, fresh: true }], groups, settings, scalars)
      return [param!, ...slot.states, scalars]
    })
  })
  it.each(['bfloat16', 'float16'] as const)('round %s parameters as on the CPU', async (dtype) => {
    const size = 300
    const made = (name: string, type: FloatDType, device: DeviceName): Tensor =>
      roundedTensor(pseudoRandom(name, size), [size], type, device)
    // Lion's parameters do not depend on the sums of the same step.
    for (const roundingSeed of [undefined, 7n])
      await expectSameBits((device) => {
        const param = made('p', dtype, device)
        const slot = { param, gradient: made('g', 'float32', device), copy: null, row: 0, fresh: true }
        const states = [0, 1].map((k) => made(`s${k}`, 'float32', device))
        const scalars = adaptiveScalars(settings.d0, device)
        adaptiveStep('dAdaptLion', [{ ...slot, states }], groups, settings, scalars, { roundingSeed })
        return [param, ...states]
      })
  })
})

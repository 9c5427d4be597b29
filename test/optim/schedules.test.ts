import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { ArgumentValues } from '../../lib/config/namedArguments.ts'
import type { AdaFactor } from '../../lib/optim/adaFactor.ts'
import {
  checkScheduleArguments,
  type LearningRateOptions,
  learningRateMultiplier,
  learningRateSchedule,
  learningRateSchedules,
  torchLearningRateSchedules,
  unknownSchedule,
} from '../../lib/optim/learningRate.ts'
import { createOptimizer } from '../../lib/optim/registry.ts'
import { tensor } from '../../lib/tensor/create.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import { formulaValues } from '../support/formula.ts'

interface Fixture {
  readonly groupRates: readonly number[]
  readonly cases: readonly {
    readonly name: string
    readonly options: Omit<LearningRateOptions, 'totalSteps'>
    readonly rates: Readonly<Record<string, string>>
  }[]
  readonly adafactor: {
    readonly initialRate: number
    readonly tensors: readonly { readonly name: string; readonly shape: readonly number[]; readonly scale: number }[]
    readonly cases: readonly { readonly arguments: ArgumentValues; readonly rates: string }[]
  }
}

const fixture = JSON.parse(
  readFileSync(new URL('../fixtures/schedules/schedules.json', import.meta.url), 'utf8'),
) as Fixture

function decode(text: string): Float64Array {
  const bytes = Buffer.from(text, 'base64')
  return Float64Array.from({ length: bytes.length / 8 }, (_, i) => bytes.readDoubleLE(8 * i))
}

describe('learningRateSchedule', () => {
  it.each(fixture.cases)('gives the rates of Python at every step of four horizons: $name', ({ options, rates }) => {
    expect(Object.keys(rates)).toHaveLength(4)
    for (const [horizon, text] of Object.entries(rates)) {
      const expected = decode(text)
      const rate = learningRateSchedule({ ...options, totalSteps: Number(horizon) })
      expect(expected).toHaveLength(2 * Number(horizon))
      const largest = Math.max(...expected)
      expected.forEach((value, i) => {
        const ours = rate(i >> 1, fixture.groupRates[i % 2]!, i % 2)
        // Relative to the largest rate: torch's recursions add up rounding errors where the rate comes near zero.
        if (!(Math.abs(ours - value) <= 1e-12 * largest)) {
          expect.fail(`horizon ${horizon}, step ${i >> 1}, group ${i % 2}: ${ours} instead of ${value}`)
        }
      })
    }
  })

  it('has a case for every schedule', () => {
    const tested = new Set(fixture.cases.map(({ options }) => options.schedule))
    const all = [...learningRateSchedules, ...torchLearningRateSchedules]
    expect(all.filter((name) => !tested.has(name))).toEqual(['adafactor']) // below, with its optimizer
  })

  it('is a function of the step alone: asking in any order gives the same rates', () => {
    for (const { options } of fixture.cases) {
      const rate = learningRateSchedule({ ...options, totalSteps: 60 })
      const forwards = Array.from({ length: 60 }, (_, step) => rate(step, 1e-3, 0))
      const again = learningRateSchedule({ ...options, totalSteps: 60 })
      const backwards = Array.from({ length: 60 }, (_, i) => again(59 - i, 1e-3, 0)).reverse()
      expect(backwards).toEqual(forwards)
    }
  })

  it('is never negative within the run', () => {
    fc.assert(
      fc.property(fc.constantFrom(...fixture.cases), fc.integer({ min: 20, max: 3000 }), ({ options }, totalSteps) => {
        const rate = learningRateSchedule({ ...options, totalSteps })
        for (let step = 0; step < totalSteps; step += 7) expect(rate(step, 1e-3, 0)).toBeGreaterThanOrEqual(0)
      }),
      { numRuns: 50 },
    )
  })

  it('takes shares of the run, rounded down', () => {
    const rate = learningRateMultiplier({ schedule: 'linear', warmupSteps: { share: 0.25 }, totalSteps: 11 })
    expect([0, 1, 2, 11].map(rate)).toEqual([0, 0.5, 1, 0])
  })

  it('follows a function of the user', () => {
    const rate = learningRateSchedule({
      schedule: (step, { totalSteps, warmupSteps, arguments: { floor } }) =>
        Math.max(Number(floor), 1 - (step + warmupSteps) / totalSteps),
      totalSteps: 10,
      warmupSteps: 1,
      arguments: { floor: 0.2 },
    })
    expect(rate(4, 2, 0)).toBe(1)
    expect(rate(9, 2, 0)).toBe(0.4)
  })

  it.each([
    [Number.NaN, 'NaN'],
    [-1, '-1'],
    [Number.POSITIVE_INFINITY, 'Infinity'],
    ['1', 'string'],
  ])('stops at a factor of %s from a function of the user', (factor, shown) => {
    const mine = (): number => factor as number
    expect(() => learningRateSchedule({ schedule: mine, totalSteps: 3 })(2, 1, 0)).toThrow(
      `mine: the factor of step 2 must be a number of 0 or more, received ${shown}`,
    )
  })

  it.each<[string, LearningRateOptions, string]>([
    ['an unknown name', { schedule: 'StepLr' as 'StepLR', totalSteps: 5 }, 'Did you mean "StepLR"?'],
    ['a missing argument', { schedule: 'StepLR', totalSteps: 5 }, 'StepLR needs step_size, a whole number'],
    [
      'an argument of another schedule',
      { schedule: 'ExponentialLR', totalSteps: 5, arguments: { gama: 0.5, gamma: 0.5 } },
      'unknown argument "gama"; ExponentialLR has gamma. Did you mean "gamma"?',
    ],
    [
      'momentum cycles',
      { schedule: 'OneCycleLR', totalSteps: 5, arguments: { max_lr: 1, cycle_momentum: true } },
      'OneCycleLR takes only cycle_momentum=False',
    ],
    [
      'a cycle shorter than the run',
      { schedule: 'OneCycleLR', totalSteps: 50, arguments: { max_lr: 1, total_steps: 49 } },
      "with total_steps of at least the run's 50 steps for OneCycleLR, received 49",
    ],
    ['a share above 1', { schedule: 'linear', totalSteps: 5, warmupSteps: { share: 1.5 } }, 'a share from 0 to 1'],
    ['half a step', { schedule: 'linear', totalSteps: 5, warmupSteps: 1.5 }, 'a whole number of 0 or more, or a share'],
    ['a minimum that is not given', { schedule: 'cosine_with_min_lr', totalSteps: 5 }, 'minRatio must be given'],
    ['decay that is not given', { schedule: 'warmup_stable_decay', totalSteps: 5 }, 'decaySteps must be given'],
    [
      'more decay than run',
      { schedule: 'warmup_stable_decay', totalSteps: 5, decaySteps: 4, warmupSteps: 2 },
      'decaySteps must be at most the 5 steps of the run less 2 of warm-up, received 4',
    ],
    [
      'rules that are none',
      { schedule: 'piecewise_constant', totalSteps: 5, arguments: { step_rules: '1:a,2' } },
      "step_rules such as '1:100,0.1:200,0.01'",
    ],
    ['warm-up for StepLR', { schedule: 'StepLR', totalSteps: 5, warmupSteps: 2 }, 'warmupSteps must be 0 for StepLR'],
  ])('rejects %s', (_what, options, message) => {
    expect(() => learningRateSchedule(options)).toThrow(message)
  })

  it('rejects a list of rates that is shorter than the groups', () => {
    const rate = learningRateSchedule({ schedule: 'OneCycleLR', totalSteps: 5, arguments: { max_lr: [1, 2] } })
    expect(rate(0, 1, 1)).toBeCloseTo(2 / 25, 15)
    expect(() => rate(0, 1, 2)).toThrow('max_lr must be one number, or one for each group, received none for group 3')
  })
})

describe('the adafactor schedule', () => {
  const { initialRate, tensors, cases } = fixture.adafactor
  it.each(cases)('reports the rates of Python before the first step and after each of 251: $arguments', async (one) => {
    const expected = decode(one.rates)
    expect(expected).toHaveLength(2 * 252)
    const values = (name: string, shape: readonly number[], scale = 1): Tensor =>
      tensor(formulaValues(`adafactor/${name}`, { shape, kind: 'normal-like', scale }), shape)
    const groups = tensors.map(({ name, shape, scale }) => ({
      name,
      params: [{ name, master: values(`${name}/p`, shape, scale) }],
      learningRate: initialRate,
    }))
    const optimizer = createOptimizer('AdaFactor', groups, { relative_step: true, ...one.arguments }) as AdaFactor
    const schedule = learningRateSchedule({ schedule: 'adafactor', totalSteps: 251 })
    for (let step = 0; step <= 251; step++) {
      const rates = await optimizer.effectiveLearningRates()
      rates.forEach((rate, group) => {
        const reference = expected[2 * step + group]!
        expect(Math.abs(rate / reference - 1), `step ${step}, group ${group}: ${rate} for ${reference}`).toBeLessThan(
          2e-6,
        )
      })
      for (const { params } of groups)
        for (const { name, master } of params) master.grad = values(`${name}/g${step + 1}`, master.shape)
      optimizer.step({ learningRates: groups.map((_, group) => schedule(step, initialRate, group)) })
      optimizer.zeroGrad()
    }
  })
})

describe('names and arguments of schedules', () => {
  it('says why classes of Python that take objects cannot be named', () => {
    expect(unknownSchedule('LambdaLR')).toBe(
      'LambdaLR cannot be chosen by name, because it takes a function of Python; write a function instead: ./file.js#name',
    )
    expect(unknownSchedule('ReduceLROnPlateau')).toContain('validation loss')
    expect(unknownSchedule('cosin')).toContain('Did you mean "cosine"?')
  })
  it('checks the kinds of arguments', () => {
    const check = (values: Record<string, never | number | boolean | string | null>): string[] =>
      checkScheduleArguments('--lr_scheduler_args', 'CosineAnnealingLR', values)
    expect(check({ T_max: 10, eta_min: 1e-6 })).toEqual([])
    expect(check({ T_max: 1.5 })).toEqual([
      '--lr_scheduler_args: T_max of CosineAnnealingLR must be a whole number of at least 1, found 1.5',
    ])
    expect(check({ T_max: true, eta_min: -1 })).toHaveLength(2)
    expect(check({ T_max: null, Tmax: 3 })).toEqual([
      '--lr_scheduler_args: T_max of CosineAnnealingLR must be a whole number of at least 1, found None',
      '--lr_scheduler_args: unknown argument "Tmax"; CosineAnnealingLR has T_max, eta_min. Did you mean "T_max"?',
    ])
  })
})

/**
 * Schedule-free learning (Defazio et al., "The road less scheduled", 2024): gradients are taken at y, between the steps' own point z
 * and their average x, which is what is used and saved. Parameters hold y; `eval` turns them into x and `train` back. The average
 * takes the place of a schedule: use a constant one.
 */
import { ArgumentError } from '../util/errors.ts'
import type { ParameterGroup } from './optimizer.ts'
import type { OptimizerSettings, RoundingSettings } from './optimizerBase.ts'
import { rectification } from './rAdam.ts'
import { type RuleDefinition, RuleOptimizer } from './ruleOptimizer.ts'
import { expectAtLeastZero, expectBetas } from './settings.ts'

interface AverageSettings extends OptimizerSettings {
  /** Added to the step, times the parameter. Default 0. */
  readonly weightDecay: number
  /** Step t has the weight t^r in the average. Default 0. */
  readonly r: number
  /** Power of the largest learning rate so far in the weight. Default 2. */
  readonly weightLrPower: number
}

export interface AdamWScheduleFreeSettings extends AverageSettings {
  /** Default 0.0025. */
  readonly learningRate: number
  /** Share of the average in y, decay of the second moment. Default [0.9, 0.999]. */
  readonly betas: readonly [number, number]
  /** Default 1e-8. */
  readonly eps: number
  /** Steps in which the rate grows linearly. Default 0. */
  readonly warmupSteps: number
}

export interface RAdamScheduleFreeSettings extends AverageSettings {
  /** Default 0.0025. */
  readonly learningRate: number
  /** Share of the average in y, decay of the second moment. Default [0.9, 0.999]. */
  readonly betas: readonly [number, number]
  /** Default 1e-8. */
  readonly eps: number
  /** Do not step while the second moment is too young to divide by. Default true. */
  readonly silentSgdPhase: boolean
}

export interface SGDScheduleFreeSettings extends AverageSettings {
  /** Default 1. */
  readonly learningRate: number
  /** Share of the average in y, in (0, 1). Default 0.9. */
  readonly momentum: number
  /** Steps in which the rate grows linearly. Default 0. */
  readonly warmupSteps: number
}

const averageDefaults = { weightDecay: 0, r: 0, weightLrPower: 2 } as const

/** What a group remembers of its rates. */
const history = { largestRate: -1, weightSum: 0 } as const

/** The share of z that enters the average in step t with the rate `rate`; moves the history on. */
function nextShare(
  { r, weightLrPower }: AverageSettings,
  rate: number,
  t: number,
  past: Record<string, number>,
): number {
  past.largestRate = Math.max(rate, past.largestRate!)
  const weight = t ** r * past.largestRate ** weightLrPower
  past.weightSum = past.weightSum! + weight
  return past.weightSum === 0 ? 0 : weight / past.weightSum
}

const modes = (momentum: number): { readonly toEvaluation: number; readonly toTraining: number } => ({
  toEvaluation: 1 - 1 / momentum,
  toTraining: 1 - momentum,
})

function checkAverage(op: string, { weightDecay, r, weightLrPower }: AverageSettings, momentum: number): void {
  expectAtLeastZero(op, { weightDecay, r, weightLrPower })
  if (!(momentum > 0 && momentum < 1)) throw new ArgumentError(op, 'momentum', 'in (0, 1)', String(momentum))
}

const warmedUp = (rate: number, t: number, warmupSteps: number): number =>
  t < warmupSteps ? (rate * t) / warmupSteps : rate

export const adamWScheduleFreeDefinition: RuleDefinition<AdamWScheduleFreeSettings> = {
  name: 'adamWScheduleFree',
  rule: 'scheduleFree',
  defaults: { ...averageDefaults, learningRate: 0.0025, betas: [0.9, 0.999], eps: 1e-8, warmupSteps: 0 },
  check(op, settings) {
    expectBetas(op, settings.betas)
    expectAtLeastZero(op, { eps: settings.eps, warmupSteps: settings.warmupSteps })
    checkAverage(op, settings, settings.betas[0])
  },
  states: () => ['parameter', 0],
  history,
  numbers(settings, t, past) {
    const { betas, eps, weightDecay, learningRate, warmupSteps } = settings
    const [beta1, beta2] = betas
    const rate = warmedUp(learningRate, t, warmupSteps)
    const share = nextShare(settings, rate, t, past)
    const ahead = rate * (beta1 * (1 - share) - 1)
    const root = 1 / Math.sqrt(1 - beta2 ** t)
    return { constants: [beta2, 1 - beta2, root, eps, weightDecay, share, ahead, rate] }
  },
  modes: ({ betas }) => modes(betas[0]),
}

export const rAdamScheduleFreeDefinition: RuleDefinition<RAdamScheduleFreeSettings> = {
  name: 'rAdamScheduleFree',
  rule: 'scheduleFree',
  defaults: { ...averageDefaults, learningRate: 0.0025, betas: [0.9, 0.999], eps: 1e-8, silentSgdPhase: true },
  check(op, settings) {
    expectBetas(op, settings.betas)
    expectAtLeastZero(op, { eps: settings.eps })
    checkAverage(op, settings, settings.betas[0])
  },
  states: () => ['parameter', 0],
  history,
  numbers(settings, t, past) {
    const { betas, eps, weightDecay, learningRate, silentSgdPhase } = settings
    const [beta1, beta2] = betas
    const rectified = rectification(beta2, t, 4)
    const rate = learningRate * (rectified ?? (silentSgdPhase ? 0 : 1))
    const share = nextShare(settings, rate, t, past)
    const ahead = rate * (beta1 * (1 - share) - 1)
    const root = 1 / Math.sqrt(1 - beta2 ** t)
    const constants = [beta2, 1 - beta2, root, eps, weightDecay, share, ahead, rate]
    return { mode: rectified === null ? 1 : 0, constants }
  },
  modes: ({ betas }) => modes(betas[0]),
}

export const sgdScheduleFreeDefinition: RuleDefinition<SGDScheduleFreeSettings> = {
  name: 'sgdScheduleFree',
  rule: 'scheduleFree',
  defaults: { ...averageDefaults, learningRate: 1, momentum: 0.9, warmupSteps: 0 },
  check(op, settings) {
    expectAtLeastZero(op, { warmupSteps: settings.warmupSteps })
    checkAverage(op, settings, settings.momentum)
  },
  states: () => ['parameter', null],
  history,
  numbers(settings, t, past) {
    const { learningRate, momentum, weightDecay, warmupSteps } = settings
    const rate = warmedUp(learningRate, t, warmupSteps)
    const share = nextShare(settings, rate, t, past)
    const ahead = rate * (momentum * (1 - share) - 1)
    return { mode: 1, constants: [0, 0, 0, 0, weightDecay, share, ahead, rate] }
  },
  modes: ({ momentum }) => modes(momentum),
}

/** Schedule-free AdamW: 8 bytes of state for each parameter. */
export class AdamWScheduleFree extends RuleOptimizer<AdamWScheduleFreeSettings> {
  constructor(
    groups: readonly ParameterGroup<AdamWScheduleFreeSettings>[],
    settings: Partial<AdamWScheduleFreeSettings> & RoundingSettings = {},
  ) {
    super(adamWScheduleFreeDefinition, groups, settings)
  }
}

/** Schedule-free RAdam, which needs no warm-up: 8 bytes of state for each parameter. */
export class RAdamScheduleFree extends RuleOptimizer<RAdamScheduleFreeSettings> {
  constructor(
    groups: readonly ParameterGroup<RAdamScheduleFreeSettings>[],
    settings: Partial<RAdamScheduleFreeSettings> & RoundingSettings = {},
  ) {
    super(rAdamScheduleFreeDefinition, groups, settings)
  }
}

/** Schedule-free SGD: 4 bytes of state for each parameter. */
export class SGDScheduleFree extends RuleOptimizer<SGDScheduleFreeSettings> {
  constructor(
    groups: readonly ParameterGroup<SGDScheduleFreeSettings>[],
    settings: Partial<SGDScheduleFreeSettings> & RoundingSettings = {},
  ) {
    super(sgdScheduleFreeDefinition, groups, settings)
  }
}

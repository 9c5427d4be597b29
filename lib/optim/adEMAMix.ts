import { type EightBitSettings, eightBit, float32Rest } from './eightBit.ts'
import type { ParameterGroup } from './optimizer.ts'
import type { OptimizerSettings, RoundingSettings } from './optimizerBase.ts'
import { type RuleDefinition, RuleOptimizer } from './ruleOptimizer.ts'
import { expectAtLeastZero, expectBetas } from './settings.ts'

export interface AdEMAMixSettings extends OptimizerSettings {
  /** Default 1e-3. */
  readonly learningRate: number
  /** Decay of the fast moment, of the second moment, of the slow moment. Default [0.9, 0.999, 0.9999]. */
  readonly betas: readonly [number, number, number]
  /** Weight of the slow moment. Default 2; 5 with 8-bit states. */
  readonly alpha: number
  /** Steps in which the weight of the slow moment grows from 0. Default 0: it is there at once. */
  readonly alphaWarmup: number
  /** Steps in which the half-life of the slow moment grows from the fast one's. Default 0. */
  readonly beta3Warmup: number
  /** Default 1e-8. */
  readonly eps: number
  /** Share of a parameter, times the learning rate, that a step takes away. Default 0; 0.01 with 8-bit states. */
  readonly weightDecay: number
}

/** The slow moment's decay at step t: its half-life grows linearly from that of beta1. */
function beta3At({ betas: [beta1, , beta3], beta3Warmup }: AdEMAMixSettings, t: number): number {
  if (t >= beta3Warmup || beta1 === 0 || beta3 === 0) return beta3
  const share = t / beta3Warmup
  const [from, to] = [Math.log(beta1), Math.log(beta3)]
  return Math.min(Math.exp((from * to) / ((1 - share) * to + share * from)), beta3)
}

export const adEMAMixDefinition: RuleDefinition<AdEMAMixSettings> = {
  name: 'adEMAMix',
  rule: 'adEMAMix',
  defaults: {
    learningRate: 1e-3,
    betas: [0.9, 0.999, 0.9999],
    alpha: 2,
    alphaWarmup: 0,
    beta3Warmup: 0,
    eps: 1e-8,
    weightDecay: 0,
  },
  check(op, { betas, alpha, alphaWarmup, beta3Warmup, eps, weightDecay }) {
    expectBetas(op, betas, 3)
    expectAtLeastZero(op, { alpha, alphaWarmup, beta3Warmup, eps, weightDecay })
  },
  numbers(settings, t) {
    const { learningRate, betas, alpha, alphaWarmup, eps, weightDecay } = settings
    const [beta1, beta2] = betas
    const beta3 = beta3At(settings, t)
    const slow = t < alphaWarmup ? (alpha * t) / alphaWarmup : alpha
    const moments = [beta1, 1 - beta1, beta3, 1 - beta3, beta2, 1 - beta2]
    const corrections = [1 / (1 - beta1 ** t), slow, 1 / Math.sqrt(1 - beta2 ** t)]
    return { decay: 1 - learningRate * weightDecay, constants: [...moments, ...corrections, eps, learningRate] }
  },
}

export const adEMAMix8bitDefinition: RuleDefinition<AdEMAMixSettings> = {
  ...adEMAMixDefinition,
  name: 'adEMAMix8bit',
  defaults: { ...adEMAMixDefinition.defaults, alpha: 5, weightDecay: 0.01 },
  numbers(settings, t, history) {
    const { constants, ...others } = adEMAMixDefinition.numbers(settings, t, history)
    const rounded = constants.map((k, i) => (i === 1 || i === 3 || i === 5 ? float32Rest(constants[i - 1]!) : k))
    return { ...others, constants: rounded }
  },
}

/** AdEMAMix (Pagliardini et al., 2024): Adam with a second, slow moment; 12 bytes of state for each parameter. */
export class AdEMAMix extends RuleOptimizer<AdEMAMixSettings> {
  constructor(
    groups: readonly ParameterGroup<AdEMAMixSettings>[],
    settings: Partial<AdEMAMixSettings> & RoundingSettings = {},
  ) {
    super(adEMAMixDefinition, groups, settings)
  }
}

/** AdEMAMix with 8-bit states: 3.05 bytes for each parameter. Its defaults are those of the common implementation. */
export class AdEMAMix8bit extends RuleOptimizer<AdEMAMixSettings> {
  constructor(
    groups: readonly ParameterGroup<AdEMAMixSettings>[],
    settings: Partial<AdEMAMixSettings> & EightBitSettings & RoundingSettings = {},
  ) {
    const { rest, variant } = eightBit('adEMAMix8bit', settings)
    super(adEMAMix8bitDefinition, groups, rest, variant)
  }
}

import type { ParameterGroup } from './optimizer.ts'
import type { OptimizerSettings, RoundingSettings } from './optimizerBase.ts'
import { type RuleDefinition, RuleOptimizer } from './ruleOptimizer.ts'
import { expectAtLeastZero, expectBetas } from './settings.ts'

export interface AdamWSettings extends OptimizerSettings {
  /** Default 1e-3. */
  readonly learningRate: number
  /** Decay of the moments. Default [0.9, 0.999]. */
  readonly betas: readonly [number, number]
  /** Added to the root of the second moment. Default 1e-8. */
  readonly eps: number
  /** Share of a parameter, times the learning rate, that a step takes away. Default 0.01. */
  readonly weightDecay: number
  /** Divide by the largest second moment so far (Reddi et al., 2018): 4 more bytes for each parameter. Default false. */
  readonly amsgrad: boolean
}

export const adamWDefaults: AdamWSettings = {
  learningRate: 1e-3,
  betas: [0.9, 0.999],
  eps: 1e-8,
  weightDecay: 0.01,
  amsgrad: false,
}

/** The rule's numbers for step t, without the decay. */
export function adamNumbers({ learningRate, betas: [beta1, beta2], eps }: AdamWSettings, t: number): readonly number[] {
  const k1 = 1 - beta1 ** t
  const k2 = Math.sqrt(1 - beta2 ** t)
  return [beta1, 1 - beta1, beta2, 1 - beta2, (learningRate * k2) / k1, k2 * eps]
}

export const adamWDefinition: RuleDefinition<AdamWSettings> = {
  name: 'adamW',
  rule: 'adamW',
  defaults: adamWDefaults,
  check(op, { betas, eps, weightDecay }) {
    expectBetas(op, betas)
    expectAtLeastZero(op, { eps, weightDecay })
  },
  states: ({ amsgrad }) => [0, 0, amsgrad ? 0 : null],
  numbers: (settings, t) => ({
    decay: 1 - settings.learningRate * settings.weightDecay,
    mode: settings.amsgrad ? 1 : 0,
    constants: adamNumbers(settings, t),
  }),
}

/** AdamW (Loshchilov and Hutter, 2019) with float32 moments: 8 bytes for each parameter. */
export class AdamW extends RuleOptimizer<AdamWSettings> {
  constructor(
    groups: readonly ParameterGroup<AdamWSettings>[],
    settings: Partial<AdamWSettings> & RoundingSettings = {},
  ) {
    super(adamWDefinition, groups, settings)
  }
}

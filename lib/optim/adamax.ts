import type { ParameterGroup } from './optimizer.ts'
import type { OptimizerSettings, RoundingSettings } from './optimizerBase.ts'
import { type RuleDefinition, RuleOptimizer } from './ruleOptimizer.ts'
import { expectAtLeastZero, expectBetas } from './settings.ts'

export interface AdamaxSettings extends OptimizerSettings {
  /** Default 2e-3. */
  readonly learningRate: number
  /** Default [0.9, 0.999]. */
  readonly betas: readonly [number, number]
  /** Added to the gradient's magnitude. Default 1e-8. */
  readonly eps: number
  /** Added to the gradient, times the parameter. Default 0. */
  readonly weightDecay: number
}

export const adamaxDefinition: RuleDefinition<AdamaxSettings> = {
  name: 'adamax',
  rule: 'adamax',
  defaults: { learningRate: 2e-3, betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0 },
  check(op, { betas, eps, weightDecay }) {
    expectBetas(op, betas)
    expectAtLeastZero(op, { eps, weightDecay })
  },
  numbers: ({ learningRate, betas: [beta1, beta2], eps, weightDecay }, t) => ({
    l2: weightDecay,
    constants: [beta1, 1 - beta1, beta2, eps, learningRate / (1 - beta1 ** t)],
  }),
}

/** Adam with the infinity norm (Kingma and Ba, 2015) as torch.optim.Adamax has it: 8 bytes of state for each parameter. */
export class Adamax extends RuleOptimizer<AdamaxSettings> {
  constructor(
    groups: readonly ParameterGroup<AdamaxSettings>[],
    settings: Partial<AdamaxSettings> & RoundingSettings = {},
  ) {
    super(adamaxDefinition, groups, settings)
  }
}

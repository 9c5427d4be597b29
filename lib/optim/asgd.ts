import type { ParameterGroup } from './optimizer.ts'
import type { OptimizerSettings, RoundingSettings } from './optimizerBase.ts'
import { type RuleDefinition, RuleOptimizer } from './ruleOptimizer.ts'
import { expectAtLeastZero } from './settings.ts'

export interface ASGDSettings extends OptimizerSettings {
  /** Default 1e-2. */
  readonly learningRate: number
  /** Decay of the parameters, and of the rate. Default 1e-4. */
  readonly lambd: number
  /** Power of the rate's decay. Default 0.75. */
  readonly alpha: number
  /** The step at which averaging starts. Default 1e6. */
  readonly t0: number
  /** Added to the gradient, times the parameter. Default 0. */
  readonly weightDecay: number
}

export const asgdDefinition: RuleDefinition<ASGDSettings> = {
  name: 'asgd',
  rule: 'asgd',
  defaults: { learningRate: 1e-2, lambd: 1e-4, alpha: 0.75, t0: 1e6, weightDecay: 0 },
  check(op, { lambd, alpha, t0, weightDecay }) {
    expectAtLeastZero(op, { lambd, alpha, t0, weightDecay })
  },
  numbers({ learningRate, lambd, alpha, t0, weightDecay }, t) {
    const rate = learningRate / (1 + lambd * learningRate * (t - 1)) ** alpha
    const share = 1 / Math.max(1, t - 1 - t0)
    return { l2: weightDecay, decay: 1 - lambd * rate, mode: share === 1 ? 1 : 0, constants: [rate, share] }
  },
}

/**
 * Averaged gradient descent (Polyak and Juditsky, 1992) as torch.optim.ASGD has it: 4 bytes of state for each parameter, the average,
 * which is in the state and nowhere else.
 */
export class ASGD extends RuleOptimizer<ASGDSettings> {
  constructor(
    groups: readonly ParameterGroup<ASGDSettings>[],
    settings: Partial<ASGDSettings> & RoundingSettings = {},
  ) {
    super(asgdDefinition, groups, settings)
  }
}

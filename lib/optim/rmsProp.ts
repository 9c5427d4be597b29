import { ArgumentError } from '../util/errors.ts'
import type { ParameterGroup } from './optimizer.ts'
import type { OptimizerSettings, RoundingSettings } from './optimizerBase.ts'
import { type RuleDefinition, RuleOptimizer } from './ruleOptimizer.ts'
import { expectAtLeastZero } from './settings.ts'

export interface RMSpropSettings extends OptimizerSettings {
  /** Default 1e-2. */
  readonly learningRate: number
  /** Decay of the mean of squares. Default 0.99. */
  readonly alpha: number
  /** Default 1e-8. */
  readonly eps: number
  /** Added to the gradient, times the parameter. Default 0. */
  readonly weightDecay: number
  /** Default 0: none is kept. */
  readonly momentum: number
  /** Divide by the deviation from the mean instead of the root mean square. Default false. */
  readonly centered: boolean
}

export const rmsPropDefinition: RuleDefinition<RMSpropSettings> = {
  name: 'rmsProp',
  rule: 'rmsProp',
  defaults: { learningRate: 1e-2, alpha: 0.99, eps: 1e-8, weightDecay: 0, momentum: 0, centered: false },
  check(op, { alpha, eps, weightDecay, momentum }) {
    if (!(alpha >= 0 && alpha < 1)) throw new ArgumentError(op, 'alpha', 'in [0, 1)', String(alpha))
    expectAtLeastZero(op, { eps, weightDecay, momentum })
  },
  states: ({ centered, momentum }) => [0, centered ? 0 : null, momentum > 0 ? 0 : null],
  numbers: ({ learningRate, alpha, eps, weightDecay, momentum, centered }) => ({
    l2: weightDecay,
    mode: (centered ? 1 : 0) + (momentum > 0 ? 2 : 0),
    constants: [alpha, 1 - alpha, eps, momentum, learningRate],
  }),
}

/** RMSprop (Tieleman and Hinton, 2012) as torch.optim.RMSprop has it: 4 to 12 bytes of state for each parameter. */
export class RMSprop extends RuleOptimizer<RMSpropSettings> {
  constructor(
    groups: readonly ParameterGroup<RMSpropSettings>[],
    settings: Partial<RMSpropSettings> & RoundingSettings = {},
  ) {
    super(rmsPropDefinition, groups, settings)
  }
}

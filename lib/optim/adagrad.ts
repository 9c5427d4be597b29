import type { ParameterGroup } from './optimizer.ts'
import type { OptimizerSettings, RoundingSettings } from './optimizerBase.ts'
import { type RuleDefinition, RuleOptimizer } from './ruleOptimizer.ts'
import { expectAtLeastZero } from './settings.ts'

export interface AdagradSettings extends OptimizerSettings {
  /** Default 1e-2. */
  readonly learningRate: number
  /** The rate of step t is divided by 1 + (t - 1) times this. Default 0. */
  readonly learningRateDecay: number
  /** Added to the gradient, times the parameter. Default 0. */
  readonly weightDecay: number
  /** What the sum of squares starts from. Default 0. */
  readonly initialAccumulatorValue: number
  /** Default 1e-10. */
  readonly eps: number
}

export const adagradDefinition: RuleDefinition<AdagradSettings> = {
  name: 'adagrad',
  rule: 'adagrad',
  defaults: { learningRate: 1e-2, learningRateDecay: 0, weightDecay: 0, initialAccumulatorValue: 0, eps: 1e-10 },
  check(op, { learningRateDecay, weightDecay, initialAccumulatorValue, eps }) {
    expectAtLeastZero(op, { learningRateDecay, weightDecay, initialAccumulatorValue, eps })
  },
  states: ({ initialAccumulatorValue }) => [initialAccumulatorValue],
  numbers: ({ learningRate, learningRateDecay, weightDecay, eps }, t) => ({
    l2: weightDecay,
    constants: [learningRate / (1 + (t - 1) * learningRateDecay), eps],
  }),
}

/** Adagrad (Duchi et al., 2011) as torch.optim.Adagrad has it: 4 bytes of state for each parameter. */
export class Adagrad extends RuleOptimizer<AdagradSettings> {
  constructor(
    groups: readonly ParameterGroup<AdagradSettings>[],
    settings: Partial<AdagradSettings> & RoundingSettings = {},
  ) {
    super(adagradDefinition, groups, settings)
  }
}

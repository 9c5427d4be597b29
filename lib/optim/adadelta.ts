import { ArgumentError } from '../util/errors.ts'
import type { ParameterGroup } from './optimizer.ts'
import type { OptimizerSettings, RoundingSettings } from './optimizerBase.ts'
import { type RuleDefinition, RuleOptimizer } from './ruleOptimizer.ts'
import { expectAtLeastZero } from './settings.ts'

export interface AdadeltaSettings extends OptimizerSettings {
  /** Default 1. */
  readonly learningRate: number
  /** Decay of both means, from 0 to 1. Default 0.9. */
  readonly rho: number
  /** Default 1e-6. */
  readonly eps: number
  /** Added to the gradient, times the parameter. Default 0. */
  readonly weightDecay: number
}

export const adadeltaDefinition: RuleDefinition<AdadeltaSettings> = {
  name: 'adadelta',
  rule: 'adadelta',
  defaults: { learningRate: 1, rho: 0.9, eps: 1e-6, weightDecay: 0 },
  check(op, { rho, eps, weightDecay }) {
    if (!(rho >= 0 && rho <= 1)) throw new ArgumentError(op, 'rho', 'in [0, 1]', String(rho))
    expectAtLeastZero(op, { eps, weightDecay })
  },
  numbers: ({ learningRate, rho, eps, weightDecay }) => ({
    l2: weightDecay,
    constants: [rho, 1 - rho, eps, learningRate],
  }),
}

/** Adadelta (Zeiler, 2012) as torch.optim.Adadelta has it: 8 bytes of state for each parameter. */
export class Adadelta extends RuleOptimizer<AdadeltaSettings> {
  constructor(
    groups: readonly ParameterGroup<AdadeltaSettings>[],
    settings: Partial<AdadeltaSettings> & RoundingSettings = {},
  ) {
    super(adadeltaDefinition, groups, settings)
  }
}

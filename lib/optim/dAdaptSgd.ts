import {
  type AdaptiveDefinition,
  AdaptiveOptimizer,
  type AdaptiveOptimizerSettings,
  type GrowthSettings,
} from './adaptiveOptimizer.ts'
import type { ParameterGroup } from './optimizer.ts'
import type { RoundingSettings } from './optimizerBase.ts'
import { expectMomentum } from './settings.ts'

export interface DAdaptSGDSettings extends AdaptiveOptimizerSettings, GrowthSettings {
  /** Share of the old parameter in the new one. Default 0. */
  readonly momentum: number
}

const definition: AdaptiveDefinition<DAdaptSGDSettings> = {
  name: 'dAdaptSGD',
  rule: 'dAdaptSgd',
  defaults: { learningRate: 1, momentum: 0, weightDecay: 0, d0: 1e-6, growthRate: Number.POSITIVE_INFINITY },
  check: (op, { momentum }) => expectMomentum(op, momentum),
  numbers: ({ momentum }) => ({ momentum }),
}

/**
 * SGD with D-Adaptation (Defazio and Mishchenko, 2023): steps are measured by the norm of the first gradients. 8 bytes of state for
 * each parameter. Weight decay is added to the gradient.
 */
export class DAdaptSGD extends AdaptiveOptimizer<DAdaptSGDSettings> {
  constructor(
    groups: readonly ParameterGroup<DAdaptSGDSettings>[],
    settings: Partial<DAdaptSGDSettings> & RoundingSettings = {},
  ) {
    super(definition, groups, settings)
  }
}

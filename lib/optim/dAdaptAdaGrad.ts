import {
  type AdaptiveDefinition,
  AdaptiveOptimizer,
  type AdaptiveOptimizerSettings,
  type EpsSettings,
  type GrowthSettings,
} from './adaptiveOptimizer.ts'
import type { ParameterGroup } from './optimizer.ts'
import type { RoundingSettings } from './optimizerBase.ts'
import { expectMomentum } from './settings.ts'

export interface DAdaptAdaGradSettings extends AdaptiveOptimizerSettings, EpsSettings, GrowthSettings {
  /** Share of the old parameter in the new one. Default 0. */
  readonly momentum: number
}

const definition: AdaptiveDefinition<DAdaptAdaGradSettings> = {
  name: 'dAdaptAdaGrad',
  rule: 'dAdaptAdaGrad',
  defaults: {
    learningRate: 1,
    momentum: 0,
    eps: 1e-6,
    weightDecay: 0,
    d0: 1e-6,
    growthRate: Number.POSITIVE_INFINITY,
  },
  check: (op, { momentum }) => expectMomentum(op, momentum),
  states: () => [1e-6, 0, 0],
  numbers: ({ momentum }) => ({ momentum }),
  stepsAtRateZero: true,
}

/**
 * AdaGrad with D-Adaptation (Defazio and Mishchenko, 2023): parameters are the first ones less a scaled sum of gradients. 12 bytes of
 * state for each parameter. Weight decay is added to the gradient.
 */
export class DAdaptAdaGrad extends AdaptiveOptimizer<DAdaptAdaGradSettings> {
  constructor(
    groups: readonly ParameterGroup<DAdaptAdaGradSettings>[],
    settings: Partial<DAdaptAdaGradSettings> & RoundingSettings = {},
  ) {
    super(definition, groups, settings)
  }
}

import {
  type AdaptiveDefinition,
  AdaptiveOptimizer,
  type AdaptiveOptimizerSettings,
  type EpsSettings,
  type GrowthSettings,
} from './adaptiveOptimizer.ts'
import type { ParameterGroup } from './optimizer.ts'
import type { RoundingSettings } from './optimizerBase.ts'
import { expectBetas } from './settings.ts'

export interface DAdaptAdanSettings extends AdaptiveOptimizerSettings, EpsSettings, GrowthSettings {
  /** Decay of the mean gradient, of the mean difference of gradients and of the squares. Default [0.98, 0.92, 0.99]. */
  readonly betas: readonly [number, number, number]
  /** Take the decay away before the step; otherwise the stepped parameter is divided by 1 more than it. Default false. */
  readonly noProx: boolean
}

const definition: AdaptiveDefinition<DAdaptAdanSettings> = {
  name: 'dAdaptAdan',
  rule: 'dAdaptAdan',
  defaults: {
    learningRate: 1,
    betas: [0.98, 0.92, 0.99],
    eps: 1e-8,
    weightDecay: 0.02,
    noProx: false,
    d0: 1e-6,
    growthRate: Number.POSITIVE_INFINITY,
  },
  check: (op, { betas }) => expectBetas(op, betas, 3),
  states: () => [0, 0, 0, 0, Number.NaN],
  numbers: ({ betas: [beta1, beta2, beta3], noProx }) => ({ beta1, beta2, beta3, noProx, decouple: true }),
  stepsAtRateZero: true,
}

const innerProductDefinition: AdaptiveDefinition<DAdaptAdanSettings> = {
  ...definition,
  name: 'dAdaptAdanIP',
  rule: 'dAdaptAdanIP',
}

/**
 * Adan (Xie et al., "Adan: adaptive Nesterov momentum algorithm", 2022) with the D-Adaptation of the preprint: 20 bytes of state for
 * each parameter.
 */
export class DAdaptAdan extends AdaptiveOptimizer<DAdaptAdanSettings> {
  constructor(
    groups: readonly ParameterGroup<DAdaptAdanSettings>[],
    settings: Partial<DAdaptAdanSettings> & RoundingSettings = {},
  ) {
    super(definition, groups, settings)
  }
}

/**
 * The same with the estimate by inner products. The second and third state are the mean difference and the squares, as in DAdaptAdan;
 * the authors' package keeps them under each other's names.
 */
export class DAdaptAdanIP extends AdaptiveOptimizer<DAdaptAdanSettings> {
  constructor(
    groups: readonly ParameterGroup<DAdaptAdanSettings>[],
    settings: Partial<DAdaptAdanSettings> & RoundingSettings = {},
  ) {
    super(innerProductDefinition, groups, settings)
  }
}

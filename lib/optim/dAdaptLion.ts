import { type AdaptiveDefinition, AdaptiveOptimizer, type AdaptiveOptimizerSettings } from './adaptiveOptimizer.ts'
import type { ParameterGroup } from './optimizer.ts'
import type { RoundingSettings } from './optimizerBase.ts'
import { expectBetas } from './settings.ts'

export interface DAdaptLionSettings extends AdaptiveOptimizerSettings {
  /** Weight of the momentum in the step, decay of the momentum. Default [0.9, 0.99]. */
  readonly betas: readonly [number, number]
}

const definition: AdaptiveDefinition<DAdaptLionSettings> = {
  name: 'dAdaptLion',
  rule: 'dAdaptLion',
  defaults: { learningRate: 1, betas: [0.9, 0.99], weightDecay: 0, d0: 1e-6 },
  check: (op, { betas }) => expectBetas(op, betas),
  numbers: ({ betas: [beta1, beta2] }) => ({ beta1, beta2, decouple: true }),
  stepsAtRateZero: true,
}

/** Lion with D-Adaptation: 8 bytes of state for each parameter. */
export class DAdaptLion extends AdaptiveOptimizer<DAdaptLionSettings> {
  constructor(
    groups: readonly ParameterGroup<DAdaptLionSettings>[],
    settings: Partial<DAdaptLionSettings> & RoundingSettings = {},
  ) {
    super(definition, groups, settings)
  }
}

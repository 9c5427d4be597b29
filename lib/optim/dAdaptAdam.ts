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

export interface DAdaptAdamPreprintSettings extends AdaptiveOptimizerSettings, EpsSettings, GrowthSettings {
  /** Decay of the moments. Default [0.9, 0.999]. */
  readonly betas: readonly [number, number]
  /** Weight decay as in AdamW; otherwise it is added to the gradient. Default false. */
  readonly decouple: boolean
}

export interface DAdaptAdamSettings extends DAdaptAdamPreprintSettings {
  /** Adam's correction of the first steps. Default false. */
  readonly useBiasCorrection: boolean
}

const preprintDefaults: DAdaptAdamPreprintSettings = {
  learningRate: 1,
  betas: [0.9, 0.999],
  eps: 1e-8,
  weightDecay: 0,
  decouple: false,
  d0: 1e-6,
  growthRate: Number.POSITIVE_INFINITY,
}

const definition: AdaptiveDefinition<DAdaptAdamSettings> = {
  name: 'dAdaptAdam',
  rule: 'dAdaptAdam',
  defaults: { ...preprintDefaults, useBiasCorrection: false },
  check: (op, { betas }) => expectBetas(op, betas),
  numbers: ({ betas: [beta1, beta2], decouple, useBiasCorrection }) => ({ beta1, beta2, decouple, useBiasCorrection }),
}

const preprintDefinition: AdaptiveDefinition<DAdaptAdamPreprintSettings> = {
  name: 'dAdaptAdamPreprint',
  rule: 'dAdaptAdamPreprint',
  defaults: preprintDefaults,
  check: (op, { betas }) => expectBetas(op, betas),
  numbers: ({ betas: [beta1, beta2], decouple }) => ({ beta1, beta2, decouple }),
}

/**
 * Adam with D-Adaptation (Defazio and Mishchenko, "Learning-rate-free learning by D-Adaptation", 2023), the authors' third version:
 * 12 bytes of state for each parameter.
 */
export class DAdaptAdam extends AdaptiveOptimizer<DAdaptAdamSettings> {
  constructor(
    groups: readonly ParameterGroup<DAdaptAdamSettings>[],
    settings: Partial<DAdaptAdamSettings> & RoundingSettings = {},
  ) {
    super(definition, groups, settings)
  }
}

/** The form of the preprint, versions 1 and 2 of the authors' package; what "DAdaptation" means. 12 bytes for each parameter. */
export class DAdaptAdamPreprint extends AdaptiveOptimizer<DAdaptAdamPreprintSettings> {
  constructor(
    groups: readonly ParameterGroup<DAdaptAdamPreprintSettings>[],
    settings: Partial<DAdaptAdamPreprintSettings> & RoundingSettings = {},
  ) {
    super(preprintDefinition, groups, settings)
  }
}

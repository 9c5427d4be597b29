import { ArgumentError } from '../util/errors.ts'
import {
  type AdaptiveDefinition,
  AdaptiveOptimizer,
  type AdaptiveOptimizerSettings,
  type EpsSettings,
  type GrowthSettings,
} from './adaptiveOptimizer.ts'
import type { ParameterGroup } from './optimizer.ts'
import type { RoundingSettings } from './optimizerBase.ts'
import { expectBetas, expectPositive } from './settings.ts'

export interface ProdigySettings extends AdaptiveOptimizerSettings, EpsSettings, GrowthSettings {
  /** Decay of the moments. With a first one of 0 there is no mean gradient, and 4 bytes less. Default [0.9, 0.999]. */
  readonly betas: readonly [number, number]
  /** Decay of what d is estimated from. Default: null, the root of the second beta. */
  readonly beta3: number | null
  /** Weight decay as in AdamW; otherwise it is added to the gradient. Default true. */
  readonly decouple: boolean
  /** Adam's correction of the first steps. Default false; the authors advise true for diffusion models. */
  readonly useBiasCorrection: boolean
  /** Keep a schedule's warm-up from making d too large. Default false; the authors advise true for diffusion models. */
  readonly safeguardWarmup: boolean
  /** Multiplies the estimate of d: the setting to change when steps are too short or too long. Default 1. */
  readonly dCoef: number
  /** Estimate d from every n-th element of each parameter; 11 needs 8.7 bytes of state instead of 16. Default 1. */
  readonly sliceP: number
}

const definition: AdaptiveDefinition<ProdigySettings> = {
  name: 'prodigy',
  rule: 'prodigy',
  defaults: {
    learningRate: 1,
    betas: [0.9, 0.999],
    beta3: null,
    eps: 1e-8,
    weightDecay: 0,
    decouple: true,
    useBiasCorrection: false,
    safeguardWarmup: false,
    d0: 1e-6,
    dCoef: 1,
    growthRate: Number.POSITIVE_INFINITY,
    sliceP: 1,
  },
  check(op, { betas, beta3, dCoef, sliceP }) {
    expectBetas(op, betas)
    expectPositive(op, { dCoef })
    if (beta3 !== null && !(beta3 >= 0 && beta3 < 1))
      throw new ArgumentError(op, 'beta3', 'in [0, 1), or null', String(beta3))
    if (!(Number.isSafeInteger(sliceP) && sliceP >= 1))
      throw new ArgumentError(op, 'sliceP', 'a whole number of 1 or more', String(sliceP))
  },
  states: ({ betas }) => [betas[0] === 0 ? null : 0, 0, 0, 0],
  numbers({ betas: [beta1, beta2], beta3, decouple, useBiasCorrection, safeguardWarmup, dCoef, sliceP }) {
    const decay = beta3 ?? Math.sqrt(beta2)
    return { beta1, beta2, beta3: decay, decouple, useBiasCorrection, safeguardWarmup, dCoef, sliceP }
  },
}

/**
 * Prodigy (Mishchenko and Defazio, "Prodigy: an expeditiously adaptive parameter-free learner", 2023): Adam at a step size that it
 * finds from how far the parameters have come. 16 bytes of state for each parameter.
 */
export class Prodigy extends AdaptiveOptimizer<ProdigySettings> {
  constructor(
    groups: readonly ParameterGroup<ProdigySettings>[],
    settings: Partial<ProdigySettings> & RoundingSettings = {},
  ) {
    super(definition, groups, settings)
  }
}

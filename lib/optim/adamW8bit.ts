import { type AdamWSettings, adamWDefinition } from './adamW.ts'
import type { ParameterGroup } from './optimizer.ts'
import { type RuleDefinition, RuleOptimizer } from './ruleOptimizer.ts'

export interface AdamW8bitSettings extends AdamWSettings {
  /** Parameters with fewer elements keep float32 moments. Default 4096. */
  readonly min8bitSize: number
  /** Decay the stepped parameter, as the GPU kernels of the common implementation do, instead of the old one. Default false. */
  readonly decayAfter: boolean
}

/** 1 - beta as kernels in float32 have it, which is off by up to 5e-5 of itself for 0.999: states are exchanged with those kernels. */
export function float32Rest(beta: number): number {
  return Math.fround(1 - Math.fround(beta))
}

export const adamW8bitDefinition: RuleDefinition<AdamWSettings> = {
  ...adamWDefinition,
  name: 'adamW8bit',
  numbers(settings, t) {
    const { constants, ...rest } = adamWDefinition.numbers(settings, t)
    const [beta1, beta2] = settings.betas
    return { ...rest, constants: [beta1, float32Rest(beta1), beta2, float32Rest(beta2), ...constants.slice(4)] }
  },
}

/**
 * AdamW with 8-bit moments (Dettmers et al., "8-bit optimizers via block-wise quantization", 2022): 2.03 bytes for each parameter
 * instead of 8. The step itself uses the exact new moments; only what is kept for the next one is rounded. An element whose gradient
 * is not finite is left alone.
 */
export class AdamW8bit extends RuleOptimizer<AdamWSettings> {
  constructor(groups: readonly ParameterGroup<AdamWSettings>[], settings: Partial<AdamW8bitSettings> = {}) {
    const { min8bitSize = 4096, decayAfter = false, ...rest } = settings
    super(adamW8bitDefinition, groups, rest, {
      codes: ({ master }) => master.size >= min8bitSize,
      decayAfter,
      skipInvalid: true,
    })
  }
}

import { type AdamWSettings, adamWDefinition } from './adamW.ts'
import { type EightBitSettings, eightBit, float32Rest } from './eightBit.ts'
import type { ParameterGroup } from './optimizer.ts'
import type { RoundingSettings } from './optimizerBase.ts'
import { type RuleDefinition, RuleOptimizer } from './ruleOptimizer.ts'

export type AdamW8bitSettings = AdamWSettings & EightBitSettings

export const adamW8bitDefinition: RuleDefinition<AdamWSettings> = {
  ...adamWDefinition,
  name: 'adamW8bit',
  numbers(settings, t, history) {
    const { constants, ...rest } = adamWDefinition.numbers(settings, t, history)
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
  constructor(
    groups: readonly ParameterGroup<AdamWSettings>[],
    settings: Partial<AdamW8bitSettings> & RoundingSettings = {},
  ) {
    const { rest, variant } = eightBit('adamW8bit', settings)
    super(adamW8bitDefinition, groups, rest, variant)
  }
}

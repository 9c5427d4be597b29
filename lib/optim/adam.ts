import { type AdamWSettings, adamWDefaults, adamWDefinition } from './adamW.ts'
import type { ParameterGroup } from './optimizer.ts'
import type { RoundingSettings } from './optimizerBase.ts'
import { type RuleDefinition, RuleOptimizer } from './ruleOptimizer.ts'

/** AdamW's, but the weight decay is added to the gradient and its default is 0. */
export type AdamSettings = AdamWSettings

export const adamDefinition: RuleDefinition<AdamSettings> = {
  ...adamWDefinition,
  name: 'adam',
  defaults: { ...adamWDefaults, weightDecay: 0 },
  numbers: (settings, t, history) => ({
    ...adamWDefinition.numbers(settings, t, history),
    l2: settings.weightDecay,
    decay: 1,
  }),
}

/** Adam (Kingma and Ba, 2015) as torch.optim.Adam has it: 8 bytes of state for each parameter. */
export class Adam extends RuleOptimizer<AdamSettings> {
  constructor(
    groups: readonly ParameterGroup<AdamSettings>[],
    settings: Partial<AdamSettings> & RoundingSettings = {},
  ) {
    super(adamDefinition, groups, settings)
  }
}

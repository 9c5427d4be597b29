/**
 * Optimizers whose states lie elsewhere: the same numbers as without. On the CPU they lie in files that the system maps into memory, and
 * a step completes on a machine with too little memory, at the speed of its disk. On a GPU they lie in pinned host memory, and a step
 * reads and writes them at the speed of the bus. States of fewer than 100,000 elements stay where the parameters are.
 */
import { type AdamWSettings, adamWDefinition } from './adamW.ts'
import { adamW8bitDefinition } from './adamW8bit.ts'
import { type EightBitSettings, eightBit } from './eightBit.ts'
import { type LionSettings, lion8bitDefinition } from './lion.ts'
import type { ParameterGroup } from './optimizer.ts'
import type { RoundingSettings } from './optimizerBase.ts'
import { type PagedSettings, pagedStates } from './pagedStates.ts'
import { RuleOptimizer } from './ruleOptimizer.ts'

type Paged<Settings> = Partial<Settings> & PagedSettings & RoundingSettings

/** AdamW with float32 states elsewhere: 8 bytes of disk or host memory for each parameter. */
export class PagedAdamW extends RuleOptimizer<AdamWSettings> {
  constructor(groups: readonly ParameterGroup<AdamWSettings>[], settings: Paged<AdamWSettings> = {}) {
    const { rest, paged } = pagedStates('pagedAdamW', settings)
    super({ ...adamWDefinition, name: 'pagedAdamW' }, groups, rest, { paged })
  }
}

/** AdamW with 8-bit states elsewhere: 2 bytes of disk or host memory for each parameter. */
export class PagedAdamW8bit extends RuleOptimizer<AdamWSettings> {
  constructor(
    groups: readonly ParameterGroup<AdamWSettings>[],
    settings: Paged<AdamWSettings> & EightBitSettings = {},
  ) {
    const { rest: others, paged } = pagedStates('pagedAdamW8bit', settings)
    const { rest, variant } = eightBit('pagedAdamW8bit', others)
    super({ ...adamW8bitDefinition, name: 'pagedAdamW8bit' }, groups, rest, { ...variant, paged })
  }
}

/** Lion with an 8-bit momentum elsewhere: a byte of disk or host memory for each parameter. */
export class PagedLion8bit extends RuleOptimizer<LionSettings> {
  constructor(groups: readonly ParameterGroup<LionSettings>[], settings: Paged<LionSettings> & EightBitSettings = {}) {
    const { rest: others, paged } = pagedStates('pagedLion8bit', settings)
    const { rest, variant } = eightBit('pagedLion8bit', others)
    super({ ...lion8bitDefinition, name: 'pagedLion8bit' }, groups, rest, { ...variant, paged })
  }
}

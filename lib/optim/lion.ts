import { type EightBitSettings, eightBit, float32Rest } from './eightBit.ts'
import type { ParameterGroup } from './optimizer.ts'
import type { OptimizerSettings, RoundingSettings } from './optimizerBase.ts'
import { type RuleDefinition, RuleOptimizer } from './ruleOptimizer.ts'
import { expectAtLeastZero, expectBetas } from './settings.ts'

export interface LionSettings extends OptimizerSettings {
  /** Default 1e-4: a third to a tenth of AdamW's. */
  readonly learningRate: number
  /** Weight of the momentum in the step, decay of the momentum. Default [0.9, 0.99]. */
  readonly betas: readonly [number, number]
  /** Share of a parameter, times the learning rate, that a step takes away. Default 0. */
  readonly weightDecay: number
}

export const lionDefinition: RuleDefinition<LionSettings> = {
  name: 'lion',
  rule: 'lion',
  defaults: { learningRate: 1e-4, betas: [0.9, 0.99], weightDecay: 0 },
  check(op, { betas, weightDecay }) {
    expectBetas(op, betas)
    expectAtLeastZero(op, { weightDecay })
  },
  numbers: ({ learningRate, betas: [beta1, beta2], weightDecay }) => ({
    decay: 1 - learningRate * weightDecay,
    constants: [beta1, 1 - beta1, beta2, 1 - beta2, learningRate],
  }),
}

export const lion8bitDefinition: RuleDefinition<LionSettings> = {
  ...lionDefinition,
  name: 'lion8bit',
  numbers: ({ learningRate, betas: [beta1, beta2], weightDecay }) => ({
    decay: 1 - learningRate * weightDecay,
    constants: [beta1, float32Rest(beta1), beta2, float32Rest(beta2), learningRate],
  }),
}

/** Lion (Chen et al., 2023): steps of one size in the direction of signs, 4 bytes of state for each parameter. */
export class Lion extends RuleOptimizer<LionSettings> {
  constructor(
    groups: readonly ParameterGroup<LionSettings>[],
    settings: Partial<LionSettings> & RoundingSettings = {},
  ) {
    super(lionDefinition, groups, settings)
  }
}

/**
 * Lion with an 8-bit momentum: 1.02 bytes of state for each parameter. An element whose gradient is not finite is left alone; the
 * common implementation lets it spoil its block.
 */
export class Lion8bit extends RuleOptimizer<LionSettings> {
  constructor(
    groups: readonly ParameterGroup<LionSettings>[],
    settings: Partial<LionSettings> & EightBitSettings & RoundingSettings = {},
  ) {
    const { rest, variant } = eightBit('lion8bit', settings)
    super(lion8bitDefinition, groups, rest, variant)
  }
}

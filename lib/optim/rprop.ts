import { ArgumentError } from '../util/errors.ts'
import type { ParameterGroup } from './optimizer.ts'
import type { OptimizerSettings, RoundingSettings } from './optimizerBase.ts'
import { type RuleDefinition, RuleOptimizer } from './ruleOptimizer.ts'
import { expectAtLeastZero } from './settings.ts'

export interface RpropSettings extends OptimizerSettings {
  /** The first step of every element; schedules have no say afterwards. Default 1e-2. */
  readonly learningRate: number
  /** Factors of the step where the gradient's sign turned, and where it stayed. Default [0.5, 1.2]. */
  readonly etas: readonly [number, number]
  /** Least and largest step. Default [1e-6, 50]. */
  readonly stepSizes: readonly [number, number]
}

export const rpropDefinition: RuleDefinition<RpropSettings> = {
  name: 'rprop',
  rule: 'rprop',
  defaults: { learningRate: 1e-2, etas: [0.5, 1.2], stepSizes: [1e-6, 50] },
  check(op, { etas: [shrink, grow], stepSizes: [least, largest] }) {
    if (!(shrink > 0 && shrink < 1 && grow > 1))
      throw new ArgumentError(op, 'etas', 'one in (0, 1) and one above 1', `${shrink}, ${grow}`)
    expectAtLeastZero(op, { 'stepSizes[0]': least, 'stepSizes[1]': largest })
  },
  states: ({ learningRate }) => [0, learningRate],
  numbers: ({ etas, stepSizes }) => ({ constants: [...etas, ...stepSizes] }),
}

/**
 * Resilient propagation (Riedmiller and Braun, 1993) as torch.optim.Rprop has it: 8 bytes of state for each parameter. For gradients
 * of whole data sets: it looks at signs only.
 */
export class Rprop extends RuleOptimizer<RpropSettings> {
  constructor(
    groups: readonly ParameterGroup<RpropSettings>[],
    settings: Partial<RpropSettings> & RoundingSettings = {},
  ) {
    super(rpropDefinition, groups, settings)
  }
}

import { ArgumentError } from '../util/errors.ts'
import { type EightBitSettings, eightBit } from './eightBit.ts'
import type { ParameterGroup } from './optimizer.ts'
import type { OptimizerSettings, RoundingSettings } from './optimizerBase.ts'
import { type RuleDefinition, RuleOptimizer } from './ruleOptimizer.ts'
import { expectAtLeastZero } from './settings.ts'

export interface SGDSettings extends OptimizerSettings {
  /** Default 1e-3. */
  readonly learningRate: number
  /** Default 0: no momentum is kept. */
  readonly momentum: number
  /** Share of the gradient that does not enter the momentum, from the second step on. Default 0. */
  readonly dampening: number
  /** Added to the gradient, times the parameter. Default 0. */
  readonly weightDecay: number
  /** Step to where the momentum will have led; needs a momentum and no dampening. Default false. */
  readonly nesterov: boolean
}

export const sgdDefinition: RuleDefinition<SGDSettings> = {
  name: 'sgd',
  rule: 'sgd',
  defaults: { learningRate: 1e-3, momentum: 0, dampening: 0, weightDecay: 0, nesterov: false },
  check(op, { momentum, dampening, weightDecay, nesterov }) {
    expectAtLeastZero(op, { momentum, weightDecay })
    if (!Number.isFinite(dampening)) throw new ArgumentError(op, 'dampening', 'a number', String(dampening))
    if (nesterov && !(momentum > 0)) throw new ArgumentError(op, 'momentum', 'above 0 with nesterov', String(momentum))
    if (nesterov && dampening !== 0) throw new ArgumentError(op, 'dampening', '0 with nesterov', String(dampening))
  },
  states: ({ momentum }) => [momentum === 0 ? null : 0],
  numbers: ({ learningRate, momentum, dampening, weightDecay, nesterov }, t) => ({
    l2: weightDecay,
    mode: (nesterov ? 1 : 0) + (momentum === 0 ? 2 : 0),
    // The first gradient is the first momentum.
    constants: [t === 1 ? 0 : momentum, t === 1 ? 1 : 1 - dampening, learningRate, momentum],
  }),
}

export const sgdNesterovDefinition: RuleDefinition<SGDSettings> = {
  ...sgdDefinition,
  name: 'sgdNesterov',
  defaults: { ...sgdDefinition.defaults, momentum: 0.9, nesterov: true },
}

export interface SGDNesterov8bitSettings extends OptimizerSettings {
  /** Default 1e-3. */
  readonly learningRate: number
  /** Above 0. Default 0.9. */
  readonly momentum: number
  /** Added to the gradient, times the parameter. Default 0. */
  readonly weightDecay: number
  /**
   * Nesterov's step. Default false: the common implementation takes the argument and steps along the plain momentum, and this
   * repeats what it does.
   */
  readonly trueNesterov: boolean
}

export const sgdNesterov8bitDefinition: RuleDefinition<SGDNesterov8bitSettings> = {
  name: 'sgdNesterov8bit',
  rule: 'sgd',
  defaults: { learningRate: 1e-3, momentum: 0.9, weightDecay: 0, trueNesterov: false },
  check(op, { momentum, weightDecay }) {
    if (!(momentum > 0 && Number.isFinite(momentum)))
      throw new ArgumentError(op, 'momentum', 'above 0', String(momentum))
    expectAtLeastZero(op, { weightDecay })
  },
  numbers: ({ trueNesterov, ...settings }, t, history) =>
    sgdDefinition.numbers({ ...settings, dampening: 0, nesterov: trueNesterov }, t, history),
}

/** Stochastic gradient descent as torch.optim.SGD has it; with a momentum 4 bytes of state for each parameter. */
export class SGD extends RuleOptimizer<SGDSettings> {
  constructor(groups: readonly ParameterGroup<SGDSettings>[], settings: Partial<SGDSettings> & RoundingSettings = {}) {
    super(sgdDefinition, groups, settings)
  }
}

/** SGD with Nesterov's momentum of 0.9 by default. */
export class SGDNesterov extends RuleOptimizer<SGDSettings> {
  constructor(groups: readonly ParameterGroup<SGDSettings>[], settings: Partial<SGDSettings> & RoundingSettings = {}) {
    super(sgdNesterovDefinition, groups, settings)
  }
}

/** SGD with an 8-bit momentum: 1.02 bytes of state for each parameter. */
export class SGDNesterov8bit extends RuleOptimizer<SGDNesterov8bitSettings> {
  constructor(
    groups: readonly ParameterGroup<SGDNesterov8bitSettings>[],
    settings: Partial<SGDNesterov8bitSettings> & EightBitSettings & RoundingSettings = {},
  ) {
    const { rest, variant } = eightBit('sgdNesterov8bit', settings)
    super(sgdNesterov8bitDefinition, groups, rest, variant)
  }
}

import type { ParameterGroup } from './optimizer.ts'
import type { OptimizerSettings, RoundingSettings } from './optimizerBase.ts'
import { type RuleDefinition, RuleOptimizer } from './ruleOptimizer.ts'
import { expectAtLeastZero, expectBetas } from './settings.ts'

export interface RAdamSettings extends OptimizerSettings {
  /** Default 1e-3. */
  readonly learningRate: number
  /** Default [0.9, 0.999]. */
  readonly betas: readonly [number, number]
  /** Default 1e-8. */
  readonly eps: number
  /** Default 0. */
  readonly weightDecay: number
  /** Take the decay from the parameter, as AdamW does, instead of adding it to the gradient. Default false. */
  readonly decoupledWeightDecay: boolean
}

/** The rectification of step t (Liu et al., 2020), or null while the second moment is too young: its length is at most `least`. */
export function rectification(beta2: number, t: number, least: number): number | null {
  const longest = 2 / (1 - beta2) - 1
  const length = longest - (2 * t * beta2 ** t) / (1 - beta2 ** t)
  if (!(length > least)) return null
  return Math.sqrt(((length - 4) * (length - 2) * longest) / ((longest - 4) * (longest - 2) * length))
}

export const rAdamDefinition: RuleDefinition<RAdamSettings> = {
  name: 'rAdam',
  rule: 'adamW',
  defaults: { learningRate: 1e-3, betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0, decoupledWeightDecay: false },
  check(op, { betas, eps, weightDecay }) {
    expectBetas(op, betas)
    expectAtLeastZero(op, { eps, weightDecay })
  },
  states: () => [0, 0, null],
  numbers({ learningRate, betas: [beta1, beta2], eps, weightDecay, decoupledWeightDecay }, t) {
    const rectified = rectification(beta2, t, 5)
    const rate = learningRate / (1 - beta1 ** t)
    const step = rectified === null ? rate : rate * Math.sqrt(1 - beta2 ** t) * rectified
    return {
      ...(decoupledWeightDecay ? { decay: 1 - learningRate * weightDecay } : { l2: weightDecay }),
      mode: rectified === null ? 2 : 0,
      constants: [beta1, 1 - beta1, beta2, 1 - beta2, step, eps],
    }
  },
}

/** Rectified Adam (Liu et al., 2020) as torch.optim.RAdam has it: 8 bytes of state for each parameter. */
export class RAdam extends RuleOptimizer<RAdamSettings> {
  constructor(
    groups: readonly ParameterGroup<RAdamSettings>[],
    settings: Partial<RAdamSettings> & RoundingSettings = {},
  ) {
    super(rAdamDefinition, groups, settings)
  }
}

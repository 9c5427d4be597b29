import type { ParameterGroup } from './optimizer.ts'
import type { OptimizerSettings, RoundingSettings } from './optimizerBase.ts'
import { type RuleDefinition, RuleOptimizer } from './ruleOptimizer.ts'
import { expectAtLeastZero, expectBetas } from './settings.ts'

export interface NAdamSettings extends OptimizerSettings {
  /** Default 2e-3. */
  readonly learningRate: number
  /** Default [0.9, 0.999]. */
  readonly betas: readonly [number, number]
  /** Default 1e-8. */
  readonly eps: number
  /** Default 0. */
  readonly weightDecay: number
  /** How fast the momentum approaches its full strength. Default 4e-3. */
  readonly momentumDecay: number
  /** Take the decay from the parameter, as AdamW does, instead of adding it to the gradient. Default false. */
  readonly decoupledWeightDecay: boolean
}

const momentumAt = (beta1: number, momentumDecay: number, t: number): number =>
  beta1 * (1 - 0.5 * 0.96 ** (t * momentumDecay))

/** The product of the momenta of steps 1 to t; beyond some hundred factors below beta1 it is nothing beside 1. */
function momentumProduct(beta1: number, momentumDecay: number, t: number): number {
  let product = 1
  for (let i = 1; i <= t && product > 1e-30; i++) product *= momentumAt(beta1, momentumDecay, i)
  return product
}

export const nAdamDefinition: RuleDefinition<NAdamSettings> = {
  name: 'nAdam',
  rule: 'nAdam',
  defaults: {
    learningRate: 2e-3,
    betas: [0.9, 0.999],
    eps: 1e-8,
    weightDecay: 0,
    momentumDecay: 4e-3,
    decoupledWeightDecay: false,
  },
  check(op, { betas, eps, weightDecay, momentumDecay }) {
    expectBetas(op, betas)
    expectAtLeastZero(op, { eps, weightDecay, momentumDecay })
  },
  numbers({ learningRate, betas: [beta1, beta2], eps, weightDecay, momentumDecay, decoupledWeightDecay }, t) {
    const k2 = Math.sqrt(1 - beta2 ** t)
    const momentum = momentumAt(beta1, momentumDecay, t)
    const next = momentumAt(beta1, momentumDecay, t + 1)
    const product = momentumProduct(beta1, momentumDecay, t)
    const fresh = (learningRate * k2 * (1 - momentum)) / (1 - product)
    const old = (learningRate * k2 * next) / (1 - product * next)
    return {
      ...(decoupledWeightDecay ? { decay: 1 - learningRate * weightDecay } : { l2: weightDecay }),
      constants: [beta1, 1 - beta1, beta2, 1 - beta2, fresh, old, k2 * eps],
    }
  },
}

/** Adam with Nesterov's momentum (Dozat, 2016) as torch.optim.NAdam has it: 8 bytes of state for each parameter. */
export class NAdam extends RuleOptimizer<NAdamSettings> {
  constructor(
    groups: readonly ParameterGroup<NAdamSettings>[],
    settings: Partial<NAdamSettings> & RoundingSettings = {},
  ) {
    super(nAdamDefinition, groups, settings)
  }
}

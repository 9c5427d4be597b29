import type { ParameterGroup } from './optimizer.ts'
import type { OptimizerSettings, RoundingSettings } from './optimizerBase.ts'
import { expectAtLeastZero, expectBetas } from './settings.ts'
import { type TensorDefinition, TensorOptimizer } from './tensorOptimizer.ts'

export interface StableAdamWSettings extends OptimizerSettings {
  /** Default 1e-3. */
  readonly learningRate: number
  /** Decay of the moments. Default [0.9, 0.99]. */
  readonly betas: readonly [number, number]
  /** Added to the root of the second moment. Default 1e-6. */
  readonly eps: number
  /** Share of a parameter, times its rate, that a step takes away. Default 0.01. */
  readonly weightDecay: number
}

export const stableAdamWDefaults: StableAdamWSettings = {
  learningRate: 1e-3,
  betas: [0.9, 0.99],
  eps: 1e-6,
  weightDecay: 0.01,
}

/** What keeps a moment without bias when it starts from zero: `1 - beta` over `1 - beta^t` is the weight of step t. */
function debiased(beta: number, t: number): readonly [number, number] {
  const whole = 1 - beta ** t
  return [(beta - beta ** t) / whole, (1 - beta) / whole]
}

export const stableAdamWDefinition: TensorDefinition<StableAdamWSettings> = {
  name: 'stableAdamW',
  rule: 'stableAdamW',
  defaults: stableAdamWDefaults,
  check(op, { betas, eps, weightDecay }) {
    expectBetas(op, betas)
    expectAtLeastZero(op, { eps, weightDecay })
  },
  states: ({ master: { shape } }) => [shape, shape],
  axes: () => null,
  numbers({ learningRate, betas, eps, weightDecay }, t) {
    return [...debiased(betas[0], t), ...debiased(betas[1], t), learningRate, eps, eps ** 2, weightDecay]
  },
}

/**
 * AdamW with AdaFactor's clipping of updates (Wortsman et al., "Stable and low-precision training for large-scale vision-language
 * models", 2023), in the form of the optimi library: a tensor whose gradient outgrows its second moment is stepped more slowly.
 */
export class StableAdamW extends TensorOptimizer<StableAdamWSettings> {
  constructor(
    groups: readonly ParameterGroup<StableAdamWSettings>[],
    settings: Partial<StableAdamWSettings> & RoundingSettings = {},
  ) {
    super(stableAdamWDefinition, groups, settings)
  }

  /** The rate that the first parameter of each group was last stepped with; before the first step, the one given. */
  effectiveLearningRates(): Promise<number[]> {
    return this.ratesTaken()
  }
}

import { expectClipThreshold } from './adaFactor.ts'
import { factoredAxes, factoredShapes } from './fileAxes.ts'
import type { ParameterGroup } from './optimizer.ts'
import type { OptimizerSettings, RoundingSettings } from './optimizerBase.ts'
import { expectAtLeastZero, expectBetas } from './settings.ts'
import { type TensorDefinition, TensorOptimizer } from './tensorOptimizer.ts'

export interface CameSettings extends OptimizerSettings {
  /** Default 2e-4. First steps are large, as moments start from zero: warm up. */
  readonly learningRate: number
  /** Added to squared gradients, and to squared errors of the first moment. Default [1e-30, 1e-16]. */
  readonly eps: readonly [number, number]
  /** Updates whose root mean square is above this are shortened to it. Default 1. */
  readonly clipThreshold: number
  /** Decay of the first moment, of the second and of the errors. Default [0.9, 0.999, 0.9999]. */
  readonly betas: readonly [number, number, number]
  /** Share of a parameter, times the learning rate, that a step takes away. Default 0. */
  readonly weightDecay: number
  /** Factor convolutions as matrices of outputs by all else: less memory, other results. Default false. */
  readonly flattenConv: boolean
}

export const cameDefaults: CameSettings = {
  learningRate: 2e-4,
  eps: [1e-30, 1e-16],
  clipThreshold: 1,
  betas: [0.9, 0.999, 0.9999],
  weightDecay: 0,
  flattenConv: false,
}

export const cameDefinition: TensorDefinition<CameSettings> = {
  name: 'came',
  rule: 'came',
  defaults: cameDefaults,
  check(op, { eps, clipThreshold, betas, weightDecay }) {
    expectBetas(op, betas, 3)
    expectAtLeastZero(op, { eps: eps[0], 'eps[1]': eps[1], weightDecay })
    expectClipThreshold(op, clipThreshold)
  },
  states(parameter, { flattenConv }) {
    const axes = factoredAxes(parameter, flattenConv)
    const { shape } = parameter.master
    if (!axes) return [shape, null, shape, null, null]
    const [rows, columns] = factoredShapes(axes)
    return [rows, columns, shape, rows, columns]
  },
  axes: (parameter, { flattenConv }) => factoredAxes(parameter, flattenConv),
  numbers({ learningRate, eps, clipThreshold, betas: [beta1, beta2, beta3], weightDecay }) {
    const squares = [beta2, 1 - beta2, eps[0], eps[1]]
    return [...squares, learningRate, clipThreshold, beta1, 1 - beta1, weightDecay, beta3, 1 - beta3]
  },
}

/**
 * CAME (Luo et al., "CAME: Confidence-guided adaptive memory efficient optimization", 2023): AdaFactor's normalised gradient with a
 * first moment, divided by how far the two are apart.
 */
export class Came extends TensorOptimizer<CameSettings> {
  constructor(
    groups: readonly ParameterGroup<CameSettings>[],
    settings: Partial<CameSettings> & RoundingSettings = {},
  ) {
    super(cameDefinition, groups, settings)
  }
}

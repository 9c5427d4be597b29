import { ArgumentError } from '../util/errors.ts'
import { factoredAxes, factoredShapes } from './fileAxes.ts'
import type { ParameterGroup } from './optimizer.ts'
import type { OptimizerSettings, RoundingSettings } from './optimizerBase.ts'
import { expectAtLeastZero, expectBetas } from './settings.ts'
import { type TensorDefinition, TensorOptimizer } from './tensorOptimizer.ts'

export interface AdaFactorSettings extends OptimizerSettings {
  /** Without `relativeStep`, the rate. With it, only what is reported before the first step. Default 0. */
  readonly learningRate: number
  /** Added to squared gradients; least size of a parameter for `scaleParameter`. Default [1e-30, 1e-3]. */
  readonly eps: readonly [number, number]
  /** Updates whose root mean square is above this are shortened to it. Default 1. */
  readonly clipThreshold: number
  /** The second moment is kept by `1 - t ** decayRate` in step t. Default -0.8. */
  readonly decayRate: number
  /** Decay of a first moment, 4 more bytes for each parameter; null for none. Default null. */
  readonly beta1: number | null
  /** Share of a parameter, times the rate, that a step takes away. Default 0. */
  readonly weightDecay: number
  /** Multiply the rate by the root mean square of the parameter. Default true. */
  readonly scaleParameter: boolean
  /** Choose the rate by the number of the step: `min(0.01, 1 / sqrt(t))`. Default true. */
  readonly relativeStep: boolean
  /** With `relativeStep`, start from `1e-6 t` instead of 0.01. Default false. */
  readonly warmupInit: boolean
  /** Factor convolutions as matrices of outputs by all else: a small part of the memory, other results. Default false. */
  readonly flattenConv: boolean
}

export const adaFactorDefaults: AdaFactorSettings = {
  learningRate: 0,
  eps: [1e-30, 1e-3],
  clipThreshold: 1,
  decayRate: -0.8,
  beta1: null,
  weightDecay: 0,
  scaleParameter: true,
  relativeStep: true,
  warmupInit: false,
  flattenConv: false,
}

/** @throws ArgumentError unless `threshold` is above 0 */
export function expectClipThreshold(op: string, threshold: number): void {
  if (!(threshold > 0)) throw new ArgumentError(op, 'clipThreshold', 'above 0', String(threshold))
}

export const adaFactorDefinition: TensorDefinition<AdaFactorSettings> = {
  name: 'adaFactor',
  rule: 'adaFactor',
  defaults: adaFactorDefaults,
  check(op, { eps: [eps1, eps2], clipThreshold, decayRate, beta1, weightDecay, ...settings }) {
    expectAtLeastZero(op, { eps: eps1, weightDecay })
    expectAtLeastZero(op, { 'eps[1]': eps2 })
    expectClipThreshold(op, clipThreshold)
    if (!(decayRate <= 0 && Number.isFinite(decayRate)))
      throw new ArgumentError(op, 'decayRate', '0 or less', String(decayRate))
    if (beta1 !== null) expectBetas(op, [beta1], 1)
    const { relativeStep, warmupInit, learningRate } = settings
    if (warmupInit && !relativeStep)
      throw new ArgumentError(op, 'warmupInit', 'false without relativeStep', String(warmupInit))
    if (!relativeStep && !(learningRate > 0))
      throw new ArgumentError(op, 'learningRate', 'above 0 without relativeStep', String(learningRate))
  },
  states(parameter, { beta1, flattenConv }) {
    const axes = factoredAxes(parameter, flattenConv)
    const { shape } = parameter.master
    return [...(axes ? factoredShapes(axes) : [shape, null]), beta1 === null ? null : shape]
  },
  axes: (parameter, { flattenConv }) => factoredAxes(parameter, flattenConv),
  numbers(settings, t) {
    const { eps, clipThreshold, decayRate, weightDecay, scaleParameter, relativeStep, warmupInit } = settings
    const beta1 = settings.beta1 ?? 0
    const rate = relativeStep ? Math.min(warmupInit ? 1e-6 * t : 1e-2, 1 / Math.sqrt(t)) : settings.learningRate
    const rest = t ** decayRate
    const scaled = scaleParameter ? 1 : 0
    return [1 - rest, rest, eps[0], eps[1], rate, scaled, clipThreshold, beta1, 1 - beta1, weightDecay]
  },
}

/**
 * AdaFactor (Shazeer and Stern, 2018) as the transformers library has it: instead of a second moment for each element it keeps the
 * means of each row and column over the last two axes that a parameter has in files.
 */
export class AdaFactor extends TensorOptimizer<AdaFactorSettings> {
  constructor(
    groups: readonly ParameterGroup<AdaFactorSettings>[],
    settings: Partial<AdaFactorSettings> & RoundingSettings = {},
  ) {
    super(adaFactorDefinition, groups, settings)
  }

  /** The rate that the first parameter of each group was last stepped with; before the first step, the one given. */
  effectiveLearningRates(): Promise<number[]> {
    return this.ratesTaken()
  }
}

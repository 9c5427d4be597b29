import { copyInto } from '../ops/accumulate.ts'
import {
  type AdaptiveGroup,
  type AdaptiveRule,
  type AdaptiveScalars,
  type AdaptiveSettings,
  type AdaptiveSlot,
  adaptiveRuleStates,
  adaptiveScalars,
  adaptiveStep,
  readAdaptiveScalars,
} from '../ops/adaptiveStep.ts'
import { full } from '../tensor/create.ts'
import { keep } from '../tensor/scope.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { ArgumentError } from '../util/errors.ts'
import {
  expectLearningRates,
  expectUniqueNames,
  gradientOf,
  type Optimizer,
  type OptimizerParameter,
  type OptimizerState,
  type ParameterGroup,
  type StepOptions,
} from './optimizer.ts'
import { expectStored } from './optimizerState.ts'
import { expectFloat32Master, expectStateOf, expectStepsOf, zeroGradients } from './parameterSlots.ts'
import type { OptimizerSettings } from './ruleOptimizer.ts'
import { expectAtLeastZero, expectKnownSettings, expectPositive } from './settings.ts'

/** What every learning-rate-free optimizer's settings have. */
export interface AdaptiveOptimizerSettings extends OptimizerSettings {
  /**
   * Multiplies the step size d that the optimizer finds. Groups with smaller rates than others step at their share; with a rate of 0
   * they are left alone. Default 1.
   */
  readonly learningRate: number
  /** Share of a parameter, times the whole step size, that a step takes away. May differ between groups. */
  readonly weightDecay: number
  /** The first d. Default 1e-6; it hardly matters as long as it is too small. */
  readonly d0: number
}

/** What those that divide by the root of squares have as well. */
export interface EpsSettings {
  /** Added to the root. May differ between groups. */
  readonly eps: number
}

/** What those that can be held back have as well. */
export interface GrowthSettings {
  /** d grows by this factor in a step at most; 1.02, say, makes a warm-up. Default: unlimited. */
  readonly growthRate: number
}

/** An optimizer that finds its step size, as data. */
export interface AdaptiveDefinition<Settings extends AdaptiveOptimizerSettings> {
  /** In messages and state files. */
  readonly name: string
  readonly rule: AdaptiveRule
  readonly defaults: Settings
  /** @throws ArgumentError for settings out of range that are this optimizer's own */
  check(op: string, settings: Settings): void
  /** What each state of the rule starts from; null for one that these settings do without. Default: zero each. */
  states?(settings: Settings): readonly (number | null)[]
  /** The rule's numbers. */
  numbers(settings: Settings): Partial<AdaptiveSettings>
  /** Whether moving averages go on while all learning rates are 0, as in the original. Default: nothing happens then. */
  readonly stepsAtRateZero?: boolean
}

interface Slot {
  readonly parameter: OptimizerParameter
  readonly group: number
  readonly states: readonly (Tensor | null)[]
  step: number
}

/** Settings that groups may have of their own. */
const ofGroups = ['learningRate', 'weightDecay', 'eps', 'params', 'name']
const scalarsKey = 'scalars'
const unset: AdaptiveSettings = {
  learningRate: 0,
  beta1: 0,
  beta2: 0,
  beta3: 0,
  growthRate: Number.POSITIVE_INFINITY,
  d0: 0,
  dCoef: 1,
  momentum: 0,
  decouple: false,
  useBiasCorrection: false,
  safeguardWarmup: false,
  noProx: false,
  sliceP: 1,
}

/** Steps every parameter with the step size it finds itself, in one native call. The base of the D-Adaptation family and Prodigy. */
export class AdaptiveOptimizer<Settings extends AdaptiveOptimizerSettings & Partial<EpsSettings & GrowthSettings>>
  implements Optimizer
{
  readonly name: string
  readonly learningRates: readonly number[]
  readonly #definition: AdaptiveDefinition<Settings>
  readonly #groups: readonly Settings[]
  readonly #slots: readonly Slot[]
  readonly #settings: AdaptiveSettings
  readonly #scalars: Tensor
  #lastRates: readonly number[]

  constructor(
    definition: AdaptiveDefinition<Settings>,
    groups: readonly ParameterGroup<Settings>[],
    settings: Partial<Settings> = {},
  ) {
    this.name = definition.name
    this.#definition = definition
    const known = Object.keys(definition.defaults)
    expectKnownSettings(this.name, settings, known)
    for (const group of groups) {
      expectKnownSettings(this.name, group, [...known, 'params', 'name'])
      for (const key of Object.keys(group))
        if (!ofGroups.includes(key))
          throw new ArgumentError(
            this.name,
            key,
            'one for all groups, since they share their step size',
            'one of a group',
          )
    }
    expectUniqueNames(this.name, groups)
    this.#groups = groups.map(({ params: _, ...group }) => ({ ...definition.defaults, ...settings, ...group }))
    for (const group of this.#groups) this.#checkGroup(group)
    this.learningRates = this.#groups.map((group) => group.learningRate)
    this.#lastRates = this.learningRates
    expectLearningRates(this.name, this.learningRates, groups.length)
    for (const { params } of groups) for (const parameter of params) expectFloat32Master(this.name, parameter)
    const { d0, growthRate = Number.POSITIVE_INFINITY } = this.#groups[0]!
    this.#settings = { ...unset, d0, growthRate, ...definition.numbers(this.#groups[0]!) }
    this.#slots = groups.flatMap(({ params }, group) => params.map((parameter) => this.#makeSlot(parameter, group)))
    this.#scalars = keep(adaptiveScalars(d0))
  }

  parameters(): readonly OptimizerParameter[] {
    return this.#slots.map(({ parameter }) => parameter)
  }

  gradients(): readonly Tensor[] {
    return this.#slots.flatMap(({ parameter }) => gradientOf(parameter) ?? [])
  }

  step({ learningRates = this.learningRates, clip = null }: StepOptions = {}): void {
    expectLearningRates(this.name, learningRates, this.#groups.length)
    this.#lastRates = learningRates
    const largest = Math.max(...learningRates)
    if (largest === 0 && !this.#definition.stepsAtRateZero) return
    const groups = this.#groups.map(({ weightDecay, eps = 1 }, i): AdaptiveGroup => {
      return { factor: largest === 0 ? 1 : learningRates[i]! / largest, weightDecay, eps }
    })
    const slots = this.#slots.flatMap((slot): AdaptiveSlot[] => {
      const gradient = gradientOf(slot.parameter)
      if (gradient === null || groups[slot.group]!.factor === 0) return []
      const { master, copy = null } = slot.parameter
      const fresh = slot.step++ === 0
      return [{ param: master, gradient, states: slot.states, copy, row: slot.group, fresh }]
    })
    if (slots.length === 0) return
    const settings = { ...this.#settings, learningRate: largest }
    adaptiveStep(this.#definition.rule, slots, groups, settings, this.#scalars, { clip })
  }

  /** What the steps enqueued so far have found out. */
  async scalars(): Promise<AdaptiveScalars> {
    return readAdaptiveScalars(this.#scalars)
  }

  /** d times the learning rate of each group in the last step: what other optimizers call their learning rate. Waits for the step. */
  async effectiveLearningRates(): Promise<number[]> {
    const rates = this.#lastRates
    const { d } = await this.scalars()
    return rates.map((rate) => d * rate)
  }

  zeroGrad(): void {
    zeroGradients(this.parameters())
  }

  state(): OptimizerState {
    const steps: Record<string, number> = {}
    const tensors = new Map([[scalarsKey, this.#scalars]])
    for (const { parameter, step } of this.#slots) steps[parameter.name] = step
    for (const [key, state] of this.#namedStates()) tensors.set(key, state)
    return { optimizer: this.name, steps, tensors }
  }

  loadState(state: OptimizerState): void {
    const { steps, tensors } = state
    expectStateOf(this.name, state, this.parameters())
    const scalars = tensors.get(scalarsKey)
    if (scalars?.dtype !== 'int64' || scalars.size !== this.#scalars.size)
      throw new ArgumentError(
        this.name,
        'state',
        `with ${scalarsKey} as int64 [${this.#scalars.size}]`,
        scalars ? String(scalars) : 'a state without them',
      )
    const ours = this.#namedStates()
    for (const [key, tensor] of ours) expectStored(this.name, tensors, key, tensor)
    expectStepsOf(this.name, state, this.parameters())
    for (const [key, tensor] of ours) copyInto(tensor, tensors.get(key)!)
    copyInto(this.#scalars, scalars)
    for (const slot of this.#slots) slot.step = steps[slot.parameter.name]!
  }

  dispose(): void {
    this.#scalars.dispose()
    for (const { states } of this.#slots) for (const state of states) state?.dispose()
  }

  #namedStates(): readonly (readonly [string, Tensor])[] {
    return this.#slots.flatMap(({ parameter, states }) =>
      states.flatMap((state, i) => (state ? [[`${parameter.name}.state${i + 1}`, state] as const] : [])),
    )
  }

  #checkGroup(group: Settings): void {
    const { d0, weightDecay, eps = 1, growthRate = 1 } = group
    expectPositive(this.name, { d0, eps })
    expectAtLeastZero(this.name, { weightDecay })
    if (!(growthRate >= 1)) throw new ArgumentError(this.name, 'growthRate', '1 or more', String(growthRate))
    this.#definition.check(this.name, group)
  }

  #makeSlot(parameter: OptimizerParameter, group: number): Slot {
    const { shape, size } = parameter.master
    const { rule, states } = this.#definition
    const { sliceP } = this.#settings
    const starts = states?.(this.#groups[group]!) ?? new Array<number>(adaptiveRuleStates[rule]).fill(0)
    const tensors = starts.map((start, i): Tensor | null => {
      if (start === null) return null
      return keep(full(sliceP > 1 && i >= 2 ? [Math.ceil(size / sliceP)] : shape, start))
    })
    return { parameter, group, states: tensors, step: 0 }
  }
}

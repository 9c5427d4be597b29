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
import type { OptimizerParameter, OptimizerState, ParameterGroup, StepOptions } from './optimizer.ts'
import {
  type BaseDefinition,
  type DueSlot,
  OptimizerBase,
  type OptimizerSettings,
  type RoundingSettings,
  type StepFacts,
} from './optimizerBase.ts'
import type { MomentTensors } from './optimizerState.ts'
import { expectAtLeastZero, expectPositive } from './settings.ts'

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

/** An optimizer that finds its step size, as data; `check` is about the settings that are its own. */
export interface AdaptiveDefinition<Settings extends AdaptiveOptimizerSettings> extends BaseDefinition<Settings> {
  readonly rule: AdaptiveRule
  /** What each state of the rule starts from; null for one that these settings do without. Default: zero each. */
  states?(settings: Settings): readonly (number | null)[]
  /** The rule's numbers. */
  numbers(settings: Settings): Partial<AdaptiveSettings>
  /** Whether moving averages go on while all learning rates are 0, as in the original. Default: nothing happens then. */
  readonly stepsAtRateZero?: boolean
}

/** Settings that groups may have of their own. */
const ofGroups = ['learningRate', 'weightDecay', 'eps']
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

type AnySettings = AdaptiveOptimizerSettings & Partial<EpsSettings & GrowthSettings>

/** Steps every parameter with the step size it finds itself, in one native call. The base of the D-Adaptation family and Prodigy. */
export class AdaptiveOptimizer<Settings extends AnySettings> extends OptimizerBase<Settings> {
  readonly #definition: AdaptiveDefinition<Settings>
  readonly #settings: AdaptiveSettings
  readonly #scalars: Tensor
  #lastRates: readonly number[]

  constructor(
    definition: AdaptiveDefinition<Settings>,
    groups: readonly ParameterGroup<Settings>[],
    settings: Partial<Settings> & RoundingSettings = {},
  ) {
    expectShared(definition, groups)
    const check = (op: string, group: Settings): void => {
      checkGroup(op, group)
      definition.check(op, group)
    }
    super({ ...definition, check }, groups, settings, {
      start: (parameter, group) => startMoments(definition, parameter, group),
    })
    this.#definition = definition
    this.#lastRates = this.learningRates
    const { d0, growthRate = Number.POSITIVE_INFINITY } = this.groups[0]!
    this.#settings = { ...unset, d0, growthRate, ...definition.numbers(this.groups[0]!) }
    this.#scalars = keep(adaptiveScalars(d0, this.device))
  }

  override step(options: StepOptions = {}): void {
    super.step(options)
    this.#lastRates = options.learningRates ?? this.learningRates
  }

  protected override moves(group: number, learningRates: readonly number[]): boolean {
    const largest = Math.max(...learningRates)
    return largest === 0 ? this.#definition.stepsAtRateZero === true : learningRates[group]! / largest > 0
  }

  protected override take(due: readonly DueSlot<Settings>[], facts: StepFacts, learningRates: readonly number[]): void {
    const largest = Math.max(...learningRates)
    const groups = this.groups.map(({ weightDecay, eps = 1 }, i): AdaptiveGroup => {
      return { factor: largest === 0 ? 1 : learningRates[i]! / largest, weightDecay, eps }
    })
    const slots = due.map(({ slot, gradient, states, t }): AdaptiveSlot => {
      const { master, copy = null } = slot.parameter
      return { param: master, gradient, states, copy, row: slot.group, fresh: t === 1 }
    })
    adaptiveStep(
      this.#definition.rule,
      slots,
      groups,
      { ...this.#settings, learningRate: largest },
      this.#scalars,
      facts,
    )
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

  override state(): OptimizerState {
    const state = super.state()
    return { ...state, tensors: new Map([[scalarsKey, this.#scalars], ...state.tensors]) }
  }

  protected override expectRest({ tensors }: OptimizerState): () => void {
    const scalars = tensors.get(scalarsKey)
    if (scalars?.dtype !== 'int64' || scalars.size !== this.#scalars.size)
      throw new ArgumentError(
        this.name,
        'state',
        `with ${scalarsKey} as int64 [${this.#scalars.size}]`,
        scalars ? String(scalars) : 'a state without them',
      )
    return () => copyInto(this.#scalars, scalars)
  }

  override dispose(): void {
    super.dispose()
    this.#scalars.dispose()
  }
}

/** @throws ArgumentError for a setting of a group that cannot differ between groups */
function expectShared<Settings extends AnySettings>(
  { name, defaults }: AdaptiveDefinition<Settings>,
  groups: readonly ParameterGroup<Settings>[],
): void {
  for (const group of groups)
    for (const key of Object.keys(group))
      if (Object.hasOwn(defaults, key) && !ofGroups.includes(key))
        throw new ArgumentError(name, key, 'one for all groups, since they share their step size', 'one of a group')
}

function checkGroup(op: string, { d0, weightDecay, eps = 1, growthRate = 1 }: AnySettings): void {
  expectPositive(op, { d0, eps })
  expectAtLeastZero(op, { weightDecay })
  if (!(growthRate >= 1)) throw new ArgumentError(op, 'growthRate', '1 or more', String(growthRate))
}

function startMoments<Settings extends AnySettings>(
  { rule, states, numbers }: AdaptiveDefinition<Settings>,
  { master: { shape, size, device } }: OptimizerParameter,
  settings: Settings,
): readonly (MomentTensors | null)[] {
  const { sliceP = 1 } = numbers(settings)
  const starts = states?.(settings) ?? new Array<number>(adaptiveRuleStates[rule]).fill(0)
  return starts.map((start, i): MomentTensors | null => {
    if (start === null) return null
    const state = full(sliceP > 1 && i >= 2 ? [Math.ceil(size / sliceP)] : shape, start, { device })
    return { state: keep(state), absmax: null }
  })
}

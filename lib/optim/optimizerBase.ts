import { copyInto } from '../ops/accumulate.ts'
import type { DeviceName, Tensor } from '../tensor/tensor.ts'
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
import { expectStored, type MomentTensors, restoreMoment } from './optimizerState.ts'
import { expectMaster, expectStateOf, expectStepsOf, zeroGradients } from './parameterSlots.ts'
import { expectKnownSettings } from './settings.ts'

/** What every optimizer's settings have. */
export interface OptimizerSettings {
  readonly learningRate: number
}

/** What every optimizer takes beside its own settings. */
export interface RoundingSettings {
  /** Round 16-bit masters up or down by chance, a function of this seed and the step. Default: masters must be float32. */
  readonly stochasticRounding?: { readonly seed: number } | undefined
}

/** What distinguishes optimizers, as far as they are alike. */
export interface BaseDefinition<Settings extends OptimizerSettings> {
  /** In messages and state files. */
  readonly name: string
  readonly defaults: Settings
  /** @throws ArgumentError for settings out of range */
  check(op: string, settings: Settings): void
}

/** How an optimizer keeps states. */
export interface StateKeeping<Settings extends OptimizerSettings> {
  /**
   * Told of all parameters before the first state is made.
   * @throws what keeps their states from being made
   */
  expect?(all: readonly { readonly parameter: OptimizerParameter; readonly settings: Settings }[]): void
  /** The states of a parameter as they start, in a fixed order; null for one that it does without. */
  start(parameter: OptimizerParameter, settings: Settings): readonly (MomentTensors | null)[]
  /** Of states that may be 8-bit codes, whether each has a sign. Default: all are float32. */
  readonly signs?: readonly boolean[]
}

/** A parameter, its states and the number of steps it has taken. */
export interface ParameterSlot {
  readonly parameter: OptimizerParameter
  readonly group: number
  /** Among all parameters of the optimizer, from 0. */
  readonly place: number
  readonly moments: readonly (MomentTensors | null)[]
  step: number
}

/** A parameter that has a gradient, in the step that it is about to take. */
export interface DueSlot<Settings> {
  readonly slot: ParameterSlot
  readonly gradient: Tensor
  readonly states: readonly (Tensor | null)[]
  /** Those of its group, with the learning rate of this step. */
  readonly settings: Settings
  /** Number of this step of the parameter, from 1. */
  readonly t: number
}

/** What a native step is told beside its parameters. */
export interface StepFacts {
  readonly clip: Tensor | null
  /** Differs from step to step, and goes on where a resumed run left off. Undefined without stochastic rounding. */
  readonly roundingSeed: bigint | undefined
  /** The same object for all parts of a step. */
  readonly step: object
}

/** Groups, states and their way into and out of files: what all optimizers with a native step share. */
export abstract class OptimizerBase<Settings extends OptimizerSettings> implements Optimizer {
  readonly name: string
  readonly learningRates: readonly number[]
  protected readonly groups: readonly Settings[]
  protected readonly slots: readonly ParameterSlot[]
  readonly #rounding: RoundingSettings['stochasticRounding']
  readonly #signs: readonly boolean[] | undefined

  constructor(
    { name, defaults, check }: BaseDefinition<Settings>,
    groups: readonly ParameterGroup<Settings>[],
    { stochasticRounding, ...settings }: Partial<Settings> & RoundingSettings,
    keeping: StateKeeping<Settings>,
  ) {
    this.name = name
    this.#rounding = stochasticRounding
    this.#signs = keeping.signs
    const known = Object.keys(defaults)
    expectKnownSettings(name, settings, [...known, 'stochasticRounding'])
    for (const group of groups) expectKnownSettings(name, group, [...known, 'params', 'name'])
    expectUniqueNames(name, groups)
    this.groups = groups.map(({ params: _, name: __, ...group }) => ({ ...defaults, ...settings, ...group }))
    for (const group of this.groups) check(name, group)
    this.learningRates = this.groups.map(({ learningRate }) => learningRate)
    expectLearningRates(name, this.learningRates, groups.length)
    if (
      stochasticRounding !== undefined &&
      !(Number.isSafeInteger(stochasticRounding.seed) && stochasticRounding.seed >= 0)
    )
      throw new ArgumentError(
        name,
        'stochasticRounding',
        'a seed that is a whole number of 0 or more',
        String(stochasticRounding.seed),
      )
    for (const { params } of groups)
      for (const parameter of params) expectMaster(name, parameter, stochasticRounding !== undefined)
    const all = groups.flatMap(({ params }, group) =>
      params.map((parameter) => ({ parameter, group, settings: this.groups[group]! })),
    )
    keeping.expect?.(all)
    this.slots = all.map(({ parameter, group, settings: s }, place) => ({
      ...{ parameter, group, place, step: 0 },
      moments: keeping.start(parameter, s),
    }))
  }

  /** Where the parameters are, and with them their states and whatever else a step needs. */
  protected get device(): DeviceName {
    return this.slots[0]?.parameter.master.device ?? 'cpu'
  }

  parameters(): readonly OptimizerParameter[] {
    return this.slots.map(({ parameter }) => parameter)
  }

  gradients(): readonly Tensor[] {
    return this.slots.flatMap(({ parameter }) => gradientOf(parameter) ?? [])
  }

  step({ learningRates = this.learningRates, clip = null }: StepOptions = {}): void {
    this.begin(learningRates)(this.slots, clip)
  }

  /**
   * Begins a step with these rates, of all groups.
   * @returns takes it for those of the given parameters that have a gradient, in one native call
   */
  protected begin(learningRates: readonly number[]): (slots: readonly ParameterSlot[], clip: Tensor | null) => void {
    expectLearningRates(this.name, learningRates, this.groups.length)
    const settings = this.groups.map((group, i) => ({ ...group, learningRate: learningRates[i]! }))
    const facts = { roundingSeed: this.#roundingSeed(), step: {} }
    return (slots, clip) => {
      const due = slots.flatMap((slot): DueSlot<Settings>[] => {
        const gradient = gradientOf(slot.parameter)
        if (gradient === null || !this.moves(slot.group, learningRates)) return []
        const states = slot.moments.map((moment) => moment?.state ?? null)
        return [{ slot, gradient, states, settings: settings[slot.group]!, t: ++slot.step }]
      })
      if (due.length > 0) this.take(due, { ...facts, clip }, learningRates)
    }
  }

  /** Whether a group takes part in a step with these rates, of all groups. */
  protected moves(_group: number, _learningRates: readonly number[]): boolean {
    return true
  }

  /** Enqueues the step of all these parameters, of a part of a step perhaps. The rates are those of all groups. */
  protected abstract take(due: readonly DueSlot<Settings>[], facts: StepFacts, learningRates: readonly number[]): void

  zeroGrad(): void {
    zeroGradients(this.parameters())
  }

  state(): OptimizerState {
    const tensors = new Map<string, Tensor>()
    this.#eachMoment(({ state, absmax }, name, i) => {
      tensors.set(`${name}.state${i}`, state)
      if (absmax) tensors.set(`${name}.absmax${i}`, absmax)
    })
    const steps = Object.fromEntries(this.slots.map(({ parameter, step }) => [parameter.name, step]))
    return { optimizer: this.name, steps, tensors }
  }

  loadState(saved: OptimizerState): void {
    const { steps, tensors } = saved
    const signs = this.#signs
    expectStateOf(this.name, saved, this.parameters())
    this.#eachMoment(({ state }, name, i) => {
      expectStored(this.name, tensors, `${name}.state${i}`, state, signs !== undefined)
    })
    expectStepsOf(this.name, saved, this.parameters())
    const restoreRest = this.expectRest(saved)
    this.#eachMoment((moment, name, i) => {
      const [state, absmax] = [tensors.get(`${name}.state${i}`)!, tensors.get(`${name}.absmax${i}`) ?? null]
      if (signs) restoreMoment(moment, { state, absmax }, signs[i - 1]!)
      else copyInto(moment.state, state)
    })
    for (const slot of this.slots) slot.step = steps[slot.parameter.name]!
    restoreRest()
  }

  /**
   * Checks what a saved state holds beside states and steps.
   * @returns takes it over
   * @throws ArgumentError when something is missing
   */
  protected expectRest(_saved: OptimizerState): () => void {
    return () => {}
  }

  dispose(): void {
    this.#eachMoment(({ state, absmax }) => {
      state.dispose()
      absmax?.dispose()
    })
  }

  /** States are counted from 1. */
  #eachMoment(visit: (moment: MomentTensors, parameter: string, number: number) => void): void {
    for (const { parameter, moments } of this.slots)
      moments.forEach((moment, i) => {
        if (moment) visit(moment, parameter.name, i + 1)
      })
  }

  /** Of the step that begins. */
  #roundingSeed(): bigint | undefined {
    if (this.#rounding === undefined) return undefined
    const done = this.slots.reduce((most, slot) => Math.max(most, slot.step), 0)
    return (BigInt(this.#rounding.seed) << 32n) + BigInt(done + 1)
  }
}

import { copyInto } from '../ops/accumulate.ts'
import { zeros } from '../tensor/create.ts'
import { keep } from '../tensor/scope.ts'
import { formatShape, type Shape, sameShape } from '../tensor/shape.ts'
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
import { expectFloat32Master, expectStateOf, expectStepsOf, zeroGradients } from './parameterSlots.ts'
import type { OptimizerSettings } from './ruleOptimizer.ts'
import { expectKnownSettings } from './settings.ts'

/** What distinguishes optimizers whose float32 states start from zero. */
export interface BaseDefinition<Settings extends OptimizerSettings> {
  /** In messages and state files. */
  readonly name: string
  readonly defaults: Settings
  /** @throws ArgumentError for settings out of range */
  check(op: string, settings: Settings): void
  /** Shapes of the states of a parameter, in a fixed order; null for one that it does without. */
  states(parameter: OptimizerParameter, settings: Settings): readonly (Shape | null)[]
}

/** A parameter, its states and the number of steps it has taken. */
export interface ParameterSlot {
  readonly parameter: OptimizerParameter
  readonly group: number
  readonly states: readonly (Tensor | null)[]
  step: number
}

/** A parameter that has a gradient, in the step that it is about to take. */
export interface DueSlot<Settings> {
  readonly slot: ParameterSlot
  readonly gradient: Tensor
  /** Those of its group, with the learning rate of this step. */
  readonly settings: Settings
  /** Number of this step of the parameter, from 1. */
  readonly t: number
}

/** Groups, states and their way into and out of files, for optimizers with a native step of their own. */
export abstract class OptimizerBase<Settings extends OptimizerSettings> implements Optimizer {
  readonly name: string
  readonly learningRates: readonly number[]
  protected readonly groups: readonly Settings[]
  protected readonly slots: readonly ParameterSlot[]

  constructor(
    { name, defaults, check, states }: BaseDefinition<Settings>,
    groups: readonly ParameterGroup<Settings>[],
    settings: Partial<Settings>,
  ) {
    this.name = name
    const known = Object.keys(defaults)
    expectKnownSettings(name, settings, known)
    for (const group of groups) expectKnownSettings(name, group, [...known, 'params', 'name'])
    expectUniqueNames(name, groups)
    this.groups = groups.map(({ params: _, name: __, ...group }) => ({ ...defaults, ...settings, ...group }))
    for (const group of this.groups) check(name, group)
    this.learningRates = this.groups.map(({ learningRate }) => learningRate)
    expectLearningRates(name, this.learningRates, groups.length)
    for (const { params } of groups) for (const parameter of params) expectFloat32Master(name, parameter)
    this.slots = groups.flatMap(({ params }, group) =>
      params.map((parameter) => ({
        parameter,
        group,
        states: states(parameter, this.groups[group]!).map((shape) => shape && keep(zeros(shape))),
        step: 0,
      })),
    )
  }

  parameters(): readonly OptimizerParameter[] {
    return this.slots.map(({ parameter }) => parameter)
  }

  gradients(): readonly Tensor[] {
    return this.slots.flatMap(({ parameter }) => gradientOf(parameter) ?? [])
  }

  step({ learningRates = this.learningRates, clip = null }: StepOptions = {}): void {
    expectLearningRates(this.name, learningRates, this.groups.length)
    const settings = this.groups.map((group, i) => ({ ...group, learningRate: learningRates[i]! }))
    const due = this.slots.flatMap((slot): DueSlot<Settings>[] => {
      const gradient = gradientOf(slot.parameter)
      return gradient ? [{ slot, gradient, settings: settings[slot.group]!, t: ++slot.step }] : []
    })
    if (due.length > 0) this.take(due, clip)
  }

  /** Enqueues the step of all these parameters. */
  protected abstract take(due: readonly DueSlot<Settings>[], clip: Tensor | null): void

  zeroGrad(): void {
    zeroGradients(this.parameters())
  }

  state(): OptimizerState {
    const tensors = new Map<string, Tensor>()
    this.#eachState((key, state) => tensors.set(key, state))
    const steps = Object.fromEntries(this.slots.map(({ parameter, step }) => [parameter.name, step]))
    return { optimizer: this.name, steps, tensors }
  }

  loadState(saved: OptimizerState): void {
    const { steps, tensors } = saved
    expectStateOf(this.name, saved, this.parameters())
    expectStepsOf(this.name, saved, this.parameters())
    this.#eachState((key, state) => {
      const stored = tensors.get(key)
      if (stored?.dtype !== 'float32' || !sameShape(stored.shape, state.shape)) {
        const found = stored ? String(stored) : 'a state without it'
        throw new ArgumentError(this.name, 'state', `with ${key} as float32 ${formatShape(state.shape)}`, found)
      }
    })
    this.#eachState((key, state) => copyInto(state, tensors.get(key)!))
    for (const slot of this.slots) slot.step = steps[slot.parameter.name]!
  }

  dispose(): void {
    this.#eachState((_, state) => state.dispose())
  }

  #eachState(visit: (key: string, state: Tensor) => void): void {
    for (const { parameter, states } of this.slots)
      states.forEach((state, i) => {
        if (state) visit(`${parameter.name}.state${i + 1}`, state)
      })
  }
}

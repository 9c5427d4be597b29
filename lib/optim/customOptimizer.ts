/** An optimizer of one's own: what it must offer, and a class that does all of it but the rule. */
import { noGrad } from '../autograd/tape.ts'
import type { ArgumentValues } from '../config/namedArguments.ts'
import { copyInto } from '../ops/accumulate.ts'
import { optimizerStep } from '../ops/optimizerStep.ts'
import { zeros } from '../tensor/create.ts'
import { keep, scope } from '../tensor/scope.ts'
import { formatShape, sameShape } from '../tensor/shape.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { ArgumentError } from '../util/errors.ts'
import {
  expectLearningRates,
  expectUniqueNames,
  gradientOf,
  type Optimizer,
  type OptimizerParameter,
  type OptimizerState,
  type StepInParts,
  type StepOptions,
} from './optimizer.ts'
import { zeroGradients } from './parameterSlots.ts'

/** Parameters with one learning rate. */
export interface OptimizerGroup {
  /** In logs: `unet`, `textencoder`. */
  readonly name: string
  readonly params: readonly OptimizerParameter[]
  readonly learningRate: number
}

/**
 * A class that the trainer can be given in place of a name. `settings` are the `optimizer_args`, by their names; the class checks
 * them. `step` must multiply gradients by the factor of its `clip`: in float16 they are given as multiples, which it takes back.
 * The trainer calls `gradients`, `step`, `zeroGrad` and `dispose`, and `train` and `eval` where there are such methods; for
 * `fused_backward_pass`, `beginStep` and `parameters` in place of `gradients` and `step`.
 */
export type OptimizerClass = new (groups: readonly OptimizerGroup[], settings: ArgumentValues) => Optimizer

/** The facts of one parameter's step. */
export interface UpdateFacts {
  readonly learningRate: number
  /** Steps of this parameter, this one included. */
  readonly step: number
  readonly group: OptimizerGroup
}

interface Slot {
  readonly parameter: OptimizerParameter
  readonly group: number
  readonly states: Readonly<Record<string, Tensor>>
  step: number
}

/**
 * The base of optimizers made of ops: a subclass writes `update`, and names its states in `stateNames`. It is slower than the
 * built-in ones, which are one native call each.
 *
 *   class Momentum extends CustomOptimizer {
 *     override readonly stateNames = ['velocity']
 *     update(parameter, gradient, { velocity }, { learningRate }) { ... }
 *   }
 */
export abstract class CustomOptimizer implements Optimizer {
  readonly name: string
  readonly learningRates: readonly number[]
  /** Names of the tensors that are kept for every parameter: float32, of its shape, zero at first. */
  readonly stateNames: readonly string[] = []
  readonly #groups: readonly OptimizerGroup[]
  #made: Slot[] | null = null

  constructor(groups: readonly OptimizerGroup[], _settings: ArgumentValues = {}) {
    this.name = new.target.name
    expectUniqueNames(this.name, groups)
    this.#groups = groups
    this.learningRates = groups.map(({ learningRate }) => learningRate)
    expectLearningRates(this.name, this.learningRates, groups.length)
  }

  /**
   * Changes `parameter` and `states` in place, with `accumulate`, `copyInto` and `scaleInPlace`; other tensors made here are freed
   * afterwards, and nothing is recorded. The gradient has been clipped; when the norm of all of them is not finite, it is zero. With
   * `fused_backward_pass` parameters come in the order in which their gradients are complete, and only its own norm makes one zero.
   */
  protected abstract update(
    parameter: Tensor,
    gradient: Tensor,
    states: Readonly<Record<string, Tensor>>,
    facts: UpdateFacts,
  ): void

  /** States are made when first needed: fields of a subclass do not exist before its constructor. */
  get #slots(): Slot[] {
    this.#made ??= this.#groups.flatMap(({ params }, group) =>
      params.map((parameter) => {
        const { shape, device } = parameter.master
        const states = Object.fromEntries(this.stateNames.map((name) => [name, keep(zeros(shape, { device }))]))
        return { parameter, group, states, step: 0 }
      }),
    )
    return this.#made
  }

  parameters(): readonly OptimizerParameter[] {
    return this.#groups.flatMap(({ params }) => params)
  }

  gradients(): readonly Tensor[] {
    return this.#slots.flatMap(({ parameter }) => gradientOf(parameter) ?? [])
  }

  step({ learningRates = this.learningRates, clip = null }: StepOptions = {}): void {
    expectLearningRates(this.name, learningRates, this.#groups.length)
    for (const slot of this.#slots) this.#take(slot, learningRates, clip)
  }

  /** A class that replaces `step` replaces this too, or its step cannot be taken in parts. */
  beginStep({ learningRates = this.learningRates }: Pick<StepOptions, 'learningRates'> = {}): StepInParts {
    expectLearningRates(this.name, learningRates, this.#groups.length)
    return {
      take: (parameter, { clip = null } = {}) => {
        const slot = this.#slots.find((each) => each.parameter === parameter)
        if (slot === undefined)
          throw new ArgumentError(this.name, 'parameter', 'one of parameters()', `"${parameter.name}"`)
        this.#take(slot, learningRates, clip)
      },
    }
  }

  #take(slot: Slot, learningRates: readonly number[], clip: Tensor | null): void {
    const { parameter, group, states } = slot
    const gradient = gradientOf(parameter)
    if (gradient === null) return
    const facts = { learningRate: learningRates[group]!, step: ++slot.step, group: this.#groups[group]! }
    noGrad(() =>
      scope(() => {
        this.update(parameter.master, clipped(gradient, clip), states, facts)
        if (parameter.copy) copyInto(parameter.copy, parameter.master)
      }),
    )
  }

  zeroGrad(): void {
    zeroGradients(this.parameters())
  }

  state(): OptimizerState {
    const steps = Object.fromEntries(this.#slots.map(({ parameter, step }) => [parameter.name, step]))
    const tensors = this.#slots.flatMap(({ parameter, states }) =>
      Object.entries(states).map(([key, tensor]): [string, Tensor] => [`${parameter.name}.${key}`, tensor]),
    )
    return { optimizer: this.name, steps, tensors: new Map(tensors) }
  }

  loadState({ optimizer, steps, tensors }: OptimizerState): void {
    if (optimizer !== this.name)
      throw new ArgumentError(this.name, 'state', `a state of ${this.name}`, `one of ${optimizer}`)
    const pairs = [...this.state().tensors].map(([key, ours]) => {
      const stored = tensors.get(key)
      if (!stored || !sameShape(stored.shape, ours.shape))
        throw new ArgumentError(
          this.name,
          'state',
          `with ${key} ${formatShape(ours.shape)}`,
          stored ? String(stored) : 'none',
        )
      return { ours, stored }
    })
    for (const { ours, stored } of pairs) copyInto(ours, stored)
    for (const slot of this.#slots) slot.step = steps[slot.parameter.name] ?? 0
  }

  dispose(): void {
    for (const { states } of this.#made ?? []) for (const state of Object.values(states)) state.dispose()
    this.#made = null
  }
}

/**
 * The gradient times the factor of `clip`, or zeros for a norm that is not finite. It is a step of AdamW's rule from zero with
 * betas 0 and 1 and a denominator of 1, which leaves the decision to the device.
 */
function clipped(gradient: Tensor, clip: Tensor | null): Tensor {
  if (clip === null) return gradient
  const zero = (): Tensor => zeros(gradient.shape, { device: gradient.device })
  const [param, first, second] = [zero(), zero(), zero()]
  const slot = { param, gradient, states: [first, second, null], absmax: [null, null, null], copy: null, row: 0 }
  optimizerStep('adamW', [slot], [{ decay: 1, mode: 0, constants: [0, 1, 1, 0, -1, 1] }], { clip })
  return param
}

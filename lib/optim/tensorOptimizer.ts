import { type FactoredAxes, type TensorRule, tensorStep } from '../ops/tensorStep.ts'
import { tensor, zeros } from '../tensor/create.ts'
import { keep } from '../tensor/scope.ts'
import type { Shape } from '../tensor/shape.ts'
import type { Tensor } from '../tensor/tensor.ts'
import type { OptimizerParameter, OptimizerState, ParameterGroup } from './optimizer.ts'
import type {
  BaseDefinition,
  DueSlot,
  OptimizerSettings,
  RoundingSettings,
  StateKeeping,
  StepFacts,
} from './optimizerBase.ts'
import { SeparableOptimizer } from './separableOptimizer.ts'

/** An optimizer that needs statistics of whole tensors, as data. */
export interface TensorDefinition<Settings extends OptimizerSettings> extends BaseDefinition<Settings> {
  readonly rule: TensorRule
  /** Shapes of the states of a parameter, in a fixed order; null for one that it does without. */
  states(parameter: OptimizerParameter, settings: Settings): readonly (Shape | null)[]
  /** How a parameter is factored; null for not at all. */
  axes(parameter: OptimizerParameter, settings: Settings): FactoredAxes | null
  /** The numbers of step `t`, counted from 1. */
  numbers(settings: Settings, t: number): readonly number[]
}

/** Float32 states of zeros, of the shapes that `states` says. */
export function startingFromZero<Settings extends OptimizerSettings>({
  states,
}: Pick<TensorDefinition<Settings>, 'states'>): StateKeeping<Settings> {
  return {
    start: (parameter, settings) =>
      states(parameter, settings).map((shape) => {
        return shape && { state: keep(zeros(shape, { device: parameter.master.device })), absmax: null }
      }),
  }
}

/** Steps every parameter by one rule of `tensorStep`, in one native call. */
export class TensorOptimizer<Settings extends OptimizerSettings> extends SeparableOptimizer<Settings> {
  readonly #definition: TensorDefinition<Settings>
  /** The first parameter of each group. */
  readonly #firsts: ReadonlyMap<OptimizerParameter, number>
  #rates: Tensor

  constructor(
    definition: TensorDefinition<Settings>,
    groups: readonly ParameterGroup<Settings>[],
    settings: Partial<Settings> & RoundingSettings = {},
  ) {
    super(definition, groups, settings, startingFromZero(definition))
    this.#definition = definition
    this.#firsts = new Map(groups.flatMap(({ params: [first] }, i) => (first ? [[first, i]] : [])))
    this.#rates = this.#freshRates()
  }

  /** The rate that the first parameter of each group was last stepped with; before the first step, the one given. */
  protected async ratesTaken(): Promise<number[]> {
    return Array.from((await this.#rates.read()) as Float32Array)
  }

  protected override take(due: readonly DueSlot<Settings>[], facts: StepFacts): void {
    const rows: (readonly number[])[] = []
    const rowOf = new Map<string, number>()
    const slots = due.map(({ slot: { parameter, group, place: stream }, gradient, states, settings, t }) => {
      const key = `${group} ${t}`
      let row = rowOf.get(key)
      if (row === undefined) {
        row = rows.push(this.#definition.numbers(settings, t)) - 1
        rowOf.set(key, row)
      }
      const { master: param, copy = null } = parameter
      const axes = this.#definition.axes(parameter, settings)
      return { param, gradient, states, copy, axes, row, rateIndex: this.#firsts.get(parameter) ?? null, stream }
    })
    const { clip, roundingSeed } = facts
    tensorStep(this.#definition.rule, slots, rows, { clip, roundingSeed, rates: this.#rates })
  }

  override loadState(state: OptimizerState): void {
    super.loadState(state)
    this.#rates.dispose()
    this.#rates = this.#freshRates()
  }

  override dispose(): void {
    super.dispose()
    this.#rates.dispose()
  }

  #freshRates(): Tensor {
    return keep(tensor(this.learningRates, [this.learningRates.length], { device: this.device }))
  }
}

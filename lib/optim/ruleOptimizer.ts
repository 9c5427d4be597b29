import { copyInto } from '../ops/accumulate.ts'
import {
  type OptimizerNumbers,
  type OptimizerRule,
  type OptimizerSlot,
  optimizerStep,
  ruleStates,
} from '../ops/optimizerStep.ts'
import { blockCount } from '../ops/quantizeBlockwise.ts'
import { full, pageOut } from '../tensor/create.ts'
import { keep } from '../tensor/scope.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { ArgumentError } from '../util/errors.ts'
import type { OptimizerParameter, OptimizerState, ParameterGroup, StepInParts, StepOptions } from './optimizer.ts'
import type {
  BaseDefinition,
  DueSlot,
  OptimizerSettings,
  RoundingSettings,
  StateKeeping,
  StepFacts,
} from './optimizerBase.ts'
import { expectScalar, type MomentTensors } from './optimizerState.ts'
import {
  beyondBudget,
  expectPlaces,
  isLargeState,
  type LargeState,
  type PagedStates,
  pagedStateMaker,
} from './pagedStates.ts'
import { SeparableOptimizer } from './separableOptimizer.ts'

/** What a state starts from: a number everywhere, or the parameter itself. */
export type StateStart = number | 'parameter'

/** An optimizer that treats every element alike, as data. */
export interface RuleDefinition<Settings extends OptimizerSettings> extends BaseDefinition<Settings> {
  readonly rule: OptimizerRule
  /** What each state of the rule starts from; null for one that these settings do without. Default: zero each. */
  states?(settings: Settings): readonly (StateStart | null)[]
  /** Numbers that a group carries from step to step, as they start. With them, steps are counted by group. */
  readonly history?: Readonly<Record<string, number>>
  /** The numbers of step `t`, counted from 1. `history` is the group's, to be changed in place. */
  numbers(settings: Settings, t: number, history: Record<string, number>): OptimizerNumbers
  /** How far parameters move towards their first state when evaluation begins, and when training goes on. */
  readonly modes?: (settings: Settings) => { readonly toEvaluation: number; readonly toTraining: number }
}

/** How states are kept, and the finer points of the step. */
export interface RuleVariant {
  /** Whether a parameter's states are 8-bit codes. Default: never. */
  readonly codes?: (parameter: OptimizerParameter) => boolean
  readonly decayAfter?: boolean
  readonly skipInvalid?: boolean
  /** Keep the states of large parameters in files, or, on a GPU, in host memory. Default: where the parameters are. */
  readonly paged?: PagedStates
}

/** Steps every parameter by one rule, in one native call. The base of most optimizers. */
export class RuleOptimizer<Settings extends OptimizerSettings> extends SeparableOptimizer<Settings> {
  readonly #definition: RuleDefinition<Settings>
  readonly #variant: RuleVariant
  readonly #histories: readonly Record<string, number>[]
  /** Numbers of the step under way, by group and, without a history, by the parameter's own number of steps. */
  #numbers: { readonly step: object; readonly of: Map<string, OptimizerNumbers> } | null = null
  /** Paged states that may not stay in memory after a step. */
  #beyond: ReadonlySet<Tensor> | null = null
  #evaluating = false

  constructor(
    definition: RuleDefinition<Settings>,
    groups: readonly ParameterGroup<Settings>[],
    settings: Partial<Settings> & RoundingSettings = {},
    variant: RuleVariant = {},
  ) {
    super(definition, groups, settings, momentKeeping(definition, variant))
    this.#definition = definition
    this.#variant = variant
    this.#histories = groups.map(() => ({ step: 0, ...definition.history }))
  }

  override step(options: StepOptions = {}): void {
    this.#expectTraining('step')
    super.step(options)
  }

  override beginStep(options: Pick<StepOptions, 'learningRates'> = {}): StepInParts {
    this.#expectTraining('beginStep')
    return super.beginStep(options)
  }

  #expectTraining(method: string): void {
    if (this.#evaluating)
      throw new ArgumentError(this.name, method, 'called while training', 'a call after eval(); call train() first')
  }

  protected override take(due: readonly DueSlot<Settings>[], facts: StepFacts): void {
    const rows: OptimizerNumbers[] = []
    const rowOf = new Map<string, number>()
    const slots = due.map(({ slot, gradient, states, settings, t }): OptimizerSlot => {
      const key = this.#definition.history ? `${slot.group}` : `${slot.group} ${t}`
      let row = rowOf.get(key)
      if (row === undefined) {
        row = rows.push(this.#numbersOf(key, facts.step, settings, slot.group, t)) - 1
        rowOf.set(key, row)
      }
      const { master, copy = null } = slot.parameter
      const absmax = slot.moments.map((moment) => moment?.absmax ?? null)
      return { param: master, gradient, states, absmax, copy, row, stream: slot.place }
    })
    const { decayAfter = false, skipInvalid = false, paged } = this.#variant
    const { clip, roundingSeed } = facts
    optimizerStep(this.#definition.rule, slots, rows, { clip, roundingSeed, decayAfter, skipInvalid })
    if (paged) this.#pageOut(paged, due)
  }

  /** A group with a history counts a step once, however many parts it is taken in. */
  #numbersOf(key: string, step: object, settings: Settings, group: number, t: number): OptimizerNumbers {
    if (this.#numbers?.step !== step) this.#numbers = { step, of: new Map() }
    const known = this.#numbers.of.get(key)
    if (known !== undefined) return known
    const history = this.#histories[group]!
    history.step!++
    const numbers = this.#definition.numbers(settings, this.#definition.history ? history.step! : t, history)
    this.#numbers.of.set(key, numbers)
    return numbers
  }

  /** What the parameters that were stepped have brought into memory beyond what may stay there. */
  #pageOut(paged: PagedStates, due: readonly DueSlot<Settings>[]): void {
    this.#beyond ??= new Set(
      beyondBudget(
        paged,
        this.slots.flatMap(({ moments }) => moments.flatMap((moment) => moment?.state ?? [])).filter(isLargeState),
      ),
    )
    const beyond = this.#beyond
    const touched = due.flatMap(({ states }) => states.filter((state): state is Tensor => beyond.has(state!)))
    if (touched.length > 0) pageOut(touched)
  }

  train(): void {
    if (!this.#evaluating) return
    this.#evaluating = false
    this.#move((settings) => this.#definition.modes!(settings).toTraining)
  }

  eval(): void {
    if (this.#evaluating || !this.#definition.modes) return
    this.#evaluating = true
    this.#move((settings) => this.#definition.modes!(settings).toEvaluation)
  }

  /** Moves every parameter a share of the way to its first state. */
  #move(share: (settings: Settings) => number): void {
    const slots = this.slots.map(({ parameter: { master, copy = null }, group, moments }): OptimizerSlot => {
      const state = moments[0]!.state
      return { param: master, gradient: state, states: [state], absmax: [null], copy, row: group }
    })
    optimizerStep(
      'lerp',
      slots,
      this.groups.map((settings) => ({ constants: [share(settings)] })),
    )
  }

  override state(): OptimizerState {
    const state = super.state()
    if (!this.#definition.history) return state
    const scalars = Object.fromEntries(
      this.#histories.flatMap((history, group) => Object.entries(history).map(([key, x]) => [`${group}.${key}`, x])),
    )
    return { ...state, scalars: { ...scalars, evaluating: Number(this.#evaluating) } }
  }

  protected override expectRest({ scalars = {} }: OptimizerState): () => void {
    const histories = this.#histories.map((history, group) => {
      if (!this.#definition.history) return history
      return Object.fromEntries(
        Object.keys(history).map((key) => [key, expectScalar(this.name, scalars, `${group}.${key}`)]),
      )
    })
    return () => {
      histories.forEach((history, group) => {
        Object.assign(this.#histories[group]!, history)
      })
      this.#evaluating = scalars.evaluating === 1
    }
  }
}

function momentKeeping<Settings extends OptimizerSettings>(
  { name, rule, states }: RuleDefinition<Settings>,
  { codes: isCoded, paged }: RuleVariant,
): StateKeeping<Settings> {
  const startsOf = (settings: Settings): readonly (StateStart | null)[] =>
    states?.(settings) ?? ruleStates[rule].map(() => 0)
  /** A state that pages, or null. */
  const largeState = (parameter: OptimizerParameter, start: StateStart | null, codes: boolean): LargeState | null =>
    paged && start === 0 && isLargeState(parameter.master) ? { parameter, dtype: codes ? 'uint8' : 'float32' } : null
  const makePaged = paged && pagedStateMaker(paged)
  return {
    signs: ruleStates[rule],
    expect(all) {
      if (!paged) return
      const large = all.flatMap(({ parameter, settings }) => {
        const codes = isCoded?.(parameter) ?? false
        return startsOf(settings).flatMap((start) => largeState(parameter, start, codes) ?? [])
      })
      expectPlaces(name, paged, large)
    },
    start(parameter, settings) {
      const { shape, size, device } = parameter.master
      const codes = isCoded?.(parameter) ?? false
      return startsOf(settings).map((start): MomentTensors | null => {
        if (start === null) return null
        const dtype = codes ? 'uint8' : 'float32'
        const value = codes || start === 'parameter' ? 0 : start
        const large = largeState(parameter, start, codes)
        const state = large && makePaged ? makePaged(large) : keep(full(shape, value, { dtype, device }))
        if (start === 'parameter') copyInto(state, parameter.master)
        return { state, absmax: codes ? keep(full([blockCount(size)], 0, { device })) : null }
      })
    },
  }
}

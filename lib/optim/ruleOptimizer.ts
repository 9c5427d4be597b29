import { copyInto } from '../ops/accumulate.ts'
import {
  type OptimizerNumbers,
  type OptimizerRule,
  type OptimizerSlot,
  optimizerStep,
  ruleStates,
} from '../ops/optimizerStep.ts'
import { blockCount } from '../ops/quantizeBlockwise.ts'
import { full, pagedZeros } from '../tensor/create.ts'
import { keep } from '../tensor/scope.ts'
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
  type ParameterGroup,
  type StepOptions,
} from './optimizer.ts'
import { expectScalar, expectStored, type MomentTensors, restoreMoment } from './optimizerState.ts'
import { isLargeState, type PagedStates, pageOutBeyond } from './pagedStates.ts'
import { expectKnownSettings } from './settings.ts'

/** What every optimizer's settings have. */
export interface OptimizerSettings {
  readonly learningRate: number
}

/** What every optimizer of this kind takes beside its own settings. */
export interface RoundingSettings {
  /** Round bfloat16 masters up or down by chance, a function of this seed and the step. Default: masters must be float32. */
  readonly stochasticRounding?: { readonly seed: number } | undefined
}

/** What a state starts from: a number everywhere, or the parameter itself. */
export type StateStart = number | 'parameter'

/** An optimizer that treats every element alike, as data. */
export interface RuleDefinition<Settings extends OptimizerSettings> {
  /** In messages and state files. */
  readonly name: string
  readonly rule: OptimizerRule
  readonly defaults: Settings
  /** @throws ArgumentError for settings out of range */
  check(op: string, settings: Settings): void
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
export interface RuleVariant extends RoundingSettings {
  /** Whether a parameter's states are 8-bit codes. Default: never. */
  readonly codes?: (parameter: OptimizerParameter) => boolean
  readonly decayAfter?: boolean
  readonly skipInvalid?: boolean
  /** Keep the states of large parameters in files. Default: in memory. */
  readonly paged?: PagedStates
}

interface Slot {
  readonly parameter: OptimizerParameter
  readonly group: number
  readonly moments: readonly (MomentTensors | null)[]
  step: number
}

/** Steps every parameter by one rule, in one native call. The base of most optimizers. */
export class RuleOptimizer<Settings extends OptimizerSettings> implements Optimizer {
  readonly name: string
  readonly learningRates: readonly number[]
  readonly #definition: RuleDefinition<Settings>
  readonly #groups: readonly Settings[]
  readonly #slots: readonly Slot[]
  readonly #variant: RuleVariant
  readonly #histories: readonly Record<string, number>[]
  #evaluating = false

  constructor(
    definition: RuleDefinition<Settings>,
    groups: readonly ParameterGroup<Settings>[],
    settings: Partial<Settings> & RoundingSettings = {},
    variant: RuleVariant = {},
  ) {
    this.name = definition.name
    this.#definition = definition
    this.#variant = { stochasticRounding: settings.stochasticRounding, ...variant }
    const known = Object.keys(definition.defaults)
    expectKnownSettings(this.name, settings, [...known, 'stochasticRounding'])
    for (const group of groups) expectKnownSettings(this.name, group, [...known, 'params', 'name'])
    expectUniqueNames(this.name, groups)
    this.#groups = groups.map(({ params: _, ...group }) => ({ ...definition.defaults, ...settings, ...group }))
    this.#histories = groups.map(() => ({ step: 0, ...definition.history }))
    for (const group of this.#groups) definition.check(this.name, group)
    this.learningRates = this.#groups.map((group) => group.learningRate)
    expectLearningRates(this.name, this.learningRates, groups.length)
    for (const { params } of groups) for (const parameter of params) this.#check(parameter)
    this.#slots = groups.flatMap(({ params }, group) => params.map((parameter) => this.#makeSlot(parameter, group)))
  }

  parameters(): readonly OptimizerParameter[] {
    return this.#slots.map(({ parameter }) => parameter)
  }

  gradients(): readonly Tensor[] {
    return this.#slots.flatMap(({ parameter }) => gradientOf(parameter) ?? [])
  }

  step({ learningRates = this.learningRates, clip = null }: StepOptions = {}): void {
    expectLearningRates(this.name, learningRates, this.#groups.length)
    if (this.#evaluating)
      throw new ArgumentError(this.name, 'step', 'called while training', 'a call after eval(); call train() first')
    const rows: OptimizerNumbers[] = []
    const rowOf = new Map<string, number>()
    const slots = this.#slots.flatMap((slot): OptimizerSlot[] => {
      const gradient = gradientOf(slot.parameter)
      if (gradient === null) return []
      const step = ++slot.step
      const key = this.#definition.history ? `${slot.group}` : `${slot.group} ${step}`
      let row = rowOf.get(key)
      if (row === undefined) {
        row = rows.length
        rowOf.set(key, row)
        const settings = { ...this.#groups[slot.group]!, learningRate: learningRates[slot.group]! }
        const history = this.#histories[slot.group]!
        history.step!++
        rows.push(this.#definition.numbers(settings, this.#definition.history ? history.step! : step, history))
      }
      const { master, copy = null } = slot.parameter
      const states = slot.moments.map((moment) => moment?.state ?? null)
      return [{ param: master, gradient, states, absmax: slot.moments.map((m) => m?.absmax ?? null), copy, row }]
    })
    if (slots.length === 0) return
    const { stochasticRounding, decayAfter = false, skipInvalid = false, paged } = this.#variant
    optimizerStep(this.#definition.rule, slots, rows, {
      clip,
      decayAfter,
      skipInvalid,
      ...(stochasticRounding ? { roundingSeed: this.#roundingSeed(stochasticRounding.seed) } : {}),
    })
    if (paged) {
      const states = this.#slots.flatMap(({ moments }) => moments.flatMap((moment) => moment?.state ?? []))
      pageOutBeyond(paged, states.filter(isLargeState))
    }
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
    const slots = this.#slots.map(({ parameter: { master, copy = null }, group, moments }): OptimizerSlot => {
      const state = moments[0]!.state
      return { param: master, gradient: state, states: [state], absmax: [null], copy, row: group }
    })
    optimizerStep(
      'lerp',
      slots,
      this.#groups.map((settings) => ({ constants: [share(settings)] })),
    )
  }

  zeroGrad(): void {
    for (const { parameter } of this.#slots)
      for (const tensor of [parameter.master, parameter.copy]) {
        if (!tensor) continue
        tensor.grad?.dispose()
        tensor.grad = null
      }
  }

  state(): OptimizerState {
    const steps: Record<string, number> = {}
    const tensors = new Map<string, Tensor>()
    for (const { parameter, step, moments } of this.#slots) {
      steps[parameter.name] = step
      moments.forEach((moment, i) => {
        if (moment === null) return
        tensors.set(`${parameter.name}.state${i + 1}`, moment.state)
        if (moment.absmax) tensors.set(`${parameter.name}.absmax${i + 1}`, moment.absmax)
      })
    }
    if (!this.#definition.history) return { optimizer: this.name, steps, tensors }
    const scalars = Object.fromEntries(
      this.#histories.flatMap((history, group) => Object.entries(history).map(([key, x]) => [`${group}.${key}`, x])),
    )
    return { optimizer: this.name, steps, tensors, scalars: { ...scalars, evaluating: Number(this.#evaluating) } }
  }

  loadState({ optimizer, steps, tensors, scalars = {} }: OptimizerState): void {
    const family = (name: string): string => name.replace(/^paged|8bit$|32bit$/gi, '').toLowerCase()
    if (family(optimizer) !== family(this.name))
      throw new ArgumentError(this.name, 'state', `a state of ${this.name}`, `one of ${optimizer}`)
    const known = new Set(this.#slots.map(({ parameter }) => parameter.name))
    for (const name of Object.keys(steps))
      if (!known.has(name)) throw new ArgumentError(this.name, 'state', 'of the same parameters', `one with "${name}"`)
    const each = (visit: (name: string, moment: MomentTensors, index: number) => void): void => {
      for (const { parameter, moments } of this.#slots)
        moments.forEach((moment, i) => {
          if (moment) visit(parameter.name, moment, i)
        })
    }
    each((name, moment, i) => expectStored(this.name, tensors, `${name}.state${i + 1}`, moment.state))
    for (const name of known)
      if (!Number.isInteger(steps[name]))
        throw new ArgumentError(this.name, 'state', `with the steps of ${name}`, 'a state without them')
    const histories = this.#histories.map((history, group) => {
      if (!this.#definition.history) return history
      return Object.fromEntries(
        Object.keys(history).map((key) => [key, expectScalar(this.name, scalars, `${group}.${key}`)]),
      )
    })
    each((name, moment, i) => {
      const [state, absmax] = [tensors.get(`${name}.state${i + 1}`)!, tensors.get(`${name}.absmax${i + 1}`) ?? null]
      restoreMoment(moment, { state, absmax }, ruleStates[this.#definition.rule][i]!)
    })
    for (const slot of this.#slots) slot.step = steps[slot.parameter.name]!
    histories.forEach((history, group) => {
      Object.assign(this.#histories[group]!, history)
    })
    this.#evaluating = scalars.evaluating === 1
  }

  dispose(): void {
    for (const { moments } of this.#slots)
      for (const moment of moments) {
        moment?.state.dispose()
        moment?.absmax?.dispose()
      }
  }

  /** Differs from step to step, and goes on where a resumed run left off. */
  #roundingSeed(seed: number): bigint {
    const step = this.#slots.reduce((most, slot) => Math.max(most, slot.step), 0)
    return (BigInt(seed) << 32n) + BigInt(step)
  }

  #check({ name, master, copy }: OptimizerParameter): void {
    const half = master.dtype === 'bfloat16' && this.#variant.stochasticRounding !== undefined
    if ((master.dtype !== 'float32' && !half) || !master.contiguous)
      throw new ArgumentError(
        this.name,
        name,
        'a contiguous float32 tensor, or bfloat16 with stochastic rounding',
        `${master}`,
      )
    if (copy && (copy.dtype !== 'bfloat16' || !sameShape(copy.shape, master.shape)))
      throw new ArgumentError(this.name, `${name} (copy)`, `bfloat16 ${formatShape(master.shape)}`, `${copy}`)
  }

  #makeSlot(parameter: OptimizerParameter, group: number): Slot {
    const { shape, size } = parameter.master
    const { rule, states } = this.#definition
    const codes = this.#variant.codes?.(parameter) ?? false
    const starts = states?.(this.#groups[group]!) ?? ruleStates[rule].map(() => 0)
    const moments = starts.map((start): MomentTensors | null => {
      if (start === null) return null
      const dtype = codes ? 'uint8' : 'float32'
      const paged = isLargeState(parameter.master) ? this.#variant.paged : undefined
      const value = codes || start === 'parameter' ? 0 : start
      const state = keep(
        paged && value === 0 ? pagedZeros(shape, paged.folder, { dtype }) : full(shape, value, { dtype }),
      )
      if (start === 'parameter') copyInto(state, parameter.master)
      return { state, absmax: codes ? keep(full([blockCount(size)], 0)) : null }
    })
    return { parameter, group, moments, step: 0 }
  }
}

import { muonStep } from '../ops/muonStep.ts'
import { optimizerStep } from '../ops/optimizerStep.ts'
import { ArgumentError } from '../util/errors.ts'
import { adamNumbers, adamWDefaults } from './adamW.ts'
import { shapeInFile } from './fileAxes.ts'
import type { OptimizerParameter, ParameterGroup } from './optimizer.ts'
import type { BaseDefinition, DueSlot, OptimizerSettings, RoundingSettings, StepFacts } from './optimizerBase.ts'
import { SeparableOptimizer } from './separableOptimizer.ts'
import { expectAtLeastZero, expectBetas } from './settings.ts'
import { startingFromZero, type TensorDefinition } from './tensorOptimizer.ts'

export interface MuonSettings extends OptimizerSettings {
  /** Of matrices. Default 0.02. */
  readonly learningRate: number
  /** Default 0.95. */
  readonly momentum: number
  /** Step along the momentum that comes next. Default true. */
  readonly nesterov: boolean
  /** Steps of Newton and Schulz' iteration. Default 5. */
  readonly newtonSchulzSteps: number
  /** What the iteration's matrices are kept in; the published code has bfloat16. Default float32. */
  readonly precision: 'float32' | 'bfloat16'
  /** Share of a parameter, times the learning rate, that a step takes away. Default 0. */
  readonly weightDecay: number
  /** Of AdamW, which steps all that is no matrix; a schedule moves it in proportion to `learningRate`. Default 3e-4. */
  readonly adamLearningRate: number
  /** Of AdamW. Default [0.9, 0.95]. */
  readonly adamBetas: readonly [number, number]
  /** Of AdamW. Default 1e-10. */
  readonly adamEps: number
}

export const muonDefaults: MuonSettings = {
  learningRate: 0.02,
  momentum: 0.95,
  nesterov: true,
  newtonSchulzSteps: 5,
  precision: 'float32',
  weightDecay: 0,
  adamLearningRate: 3e-4,
  adamBetas: [0.9, 0.95],
  adamEps: 1e-10,
}

function isMatrix({ master }: OptimizerParameter): boolean {
  return master.rank >= 2 && master.size > 0
}

export const muonDefinition: BaseDefinition<MuonSettings> & Pick<TensorDefinition<MuonSettings>, 'states'> = {
  name: 'muon',
  defaults: muonDefaults,
  check(op, { momentum, newtonSchulzSteps, precision, weightDecay, adamLearningRate, adamBetas, adamEps }) {
    if (!(momentum >= 0 && momentum < 1)) throw new ArgumentError(op, 'momentum', 'in [0, 1)', String(momentum))
    if (!Number.isInteger(newtonSchulzSteps) || newtonSchulzSteps < 1)
      throw new ArgumentError(op, 'newtonSchulzSteps', 'a whole number of 1 or more', String(newtonSchulzSteps))
    if (precision !== 'float32' && precision !== 'bfloat16')
      throw new ArgumentError(op, 'precision', 'float32 or bfloat16', String(precision))
    expectBetas(op, adamBetas)
    expectAtLeastZero(op, { weightDecay, adamLearningRate, adamEps })
  },
  states(parameter) {
    const { shape } = parameter.master
    return isMatrix(parameter) ? [shape] : [shape, shape]
  },
}

/** Wide matrices are stepped by the rate, tall ones by more; the axes are the last two in files. */
function shapeFactor(parameter: OptimizerParameter): number {
  const [rows, columns] = shapeInFile(parameter).slice(-2) as [number, number]
  return Math.sqrt(Math.max(1, rows / columns))
}

/**
 * Muon (Jordan et al., 2024): momentum whose singular values are made nearly equal. Convolutions are matrices of their outputs by
 * all else; parameters of fewer than two axes are stepped by AdamW. One native call for either kind.
 */
export class Muon extends SeparableOptimizer<MuonSettings> {
  constructor(
    groups: readonly ParameterGroup<MuonSettings>[],
    settings: Partial<MuonSettings> & RoundingSettings = {},
  ) {
    super(muonDefinition, groups, settings, startingFromZero(muonDefinition))
  }

  protected override take(due: readonly DueSlot<MuonSettings>[], facts: StepFacts): void {
    const byIteration = new Map<string, DueSlot<MuonSettings>[]>()
    for (const one of due.filter(({ slot }) => isMatrix(slot.parameter))) {
      const key = `${one.settings.newtonSchulzSteps} ${one.settings.precision}`
      byIteration.set(key, [...(byIteration.get(key) ?? []), one])
    }
    for (const list of byIteration.values()) this.#stepMatrices(list, facts)
    const rest = due.filter(({ slot }) => !isMatrix(slot.parameter))
    if (rest.length > 0) this.#stepRest(rest, facts)
  }

  #stepMatrices(due: readonly DueSlot<MuonSettings>[], { clip, roundingSeed }: StepFacts): void {
    const { newtonSchulzSteps: steps, precision } = due[0]!.settings
    const slots = due.map(({ slot: { parameter, place: stream }, gradient, states, settings }) => ({
      param: parameter.master,
      gradient,
      momentum: states[0]!,
      copy: parameter.copy ?? null,
      keep: settings.momentum,
      nesterov: settings.nesterov,
      decay: 1 - settings.learningRate * settings.weightDecay,
      rate: settings.learningRate * shapeFactor(parameter),
      stream,
    }))
    muonStep(slots, { clip, roundingSeed, steps, half: precision === 'bfloat16' })
  }

  #stepRest(due: readonly DueSlot<MuonSettings>[], { clip, roundingSeed }: StepFacts): void {
    const slots = due.map(({ slot: { parameter, place: stream }, gradient, states }, row) => ({
      param: parameter.master,
      gradient,
      states: [...states, null],
      absmax: [null, null, null],
      copy: parameter.copy ?? null,
      row,
      stream,
    }))
    const rows = due.map(({ slot: { group }, settings, t }) => {
      const given = this.learningRates[group]!
      const learningRate = given > 0 ? (settings.adamLearningRate * settings.learningRate) / given : 0
      const adam = { ...adamWDefaults, learningRate, betas: settings.adamBetas, eps: settings.adamEps }
      return { decay: 1 - learningRate * settings.weightDecay, constants: adamNumbers(adam, t) }
    })
    optimizerStep('adamW', slots, rows, { clip, roundingSeed })
  }
}

/** Which keys and command-line options contradict something or do nothing, over all datasets and subsets that they serve. */
import type { DatasetConfig, SubsetConfig } from './datasetConfig.ts'
import type { DatasetValues, EffectRule, TrainingUse } from './datasetEffects.ts'
import { whyNotAsked } from './datasetKinds.ts'
import type { DatasetFallbacks, Lookup } from './datasetLookup.ts'
import { type DatasetOption, type DatasetOptionName, datasetOption, datasetOptions, flagOf } from './datasetOptions.ts'
import { type ConfigPath, type ConfigProblem, nameAt } from './problem.ts'
import { subsetPlace } from './subsetPlace.ts'

interface Given {
  readonly path: ConfigPath
  /** Of everything that the value serves, why it does nothing there; undefined where it does something. */
  readonly idle: ({ readonly because: string; readonly severity: 'error' | 'note' } | undefined)[]
}

export class EffectReport {
  readonly #given = new Map<string, Given>()
  readonly #contradictions: ConfigProblem[] = []

  constructor(
    readonly fallbacks: DatasetFallbacks,
    readonly training: TrainingUse,
  ) {}

  /** Applies rules to one dataset or subset, whose options were all asked for. */
  look<Values extends DatasetValues | SubsetConfig>(
    rules: readonly EffectRule<Values>[],
    values: Values,
    lookup: Lookup,
    enableBucket: boolean,
  ): void {
    const context = { ...this.training, enableBucket }
    for (const name of new Set(rules.map(({ option }) => option))) {
      const origin = lookup.origins[name]
      if (origin === undefined || origin === 'default') continue
      const path = lookup.placeOf(name)
      const saysDefault = asksNothing(name, lookup.get(name))
      const broken = rules.find(
        ({ option, evenDefault, breaks }) =>
          option === name &&
          (!saysDefault || (evenDefault === true && origin !== 'command line')) &&
          breaks(values, context),
      )
      if (broken?.contradicts !== undefined) {
        const place = 'batchSize' in values ? '' : ` for ${subsetPlace(values)}`
        const message = `${nameAt(path)} contradicts ${broken.contradicts}${place}: ${broken.because}`
        this.#contradictions.push({ path, message })
        continue
      }
      const key = JSON.stringify(path)
      const given = this.#given.get(key) ?? { path, idle: [] }
      given.idle.push(broken)
      this.#given.set(key, given)
    }
  }

  /** What was found; what stands on the command line and does nothing is a note, since one script may serve many files. */
  finish(datasets: readonly DatasetConfig[]): {
    readonly problems: readonly ConfigProblem[]
    readonly notes: readonly ConfigProblem[]
  } {
    const problems = [...this.#contradictions]
    const notes: ConfigProblem[] = []
    for (const { path, idle } of this.#given.values()) {
      const [first] = idle
      if (first === undefined || idle.includes(undefined)) continue
      const isNote = first.severity === 'note' || path[0] === 'command line'
      const list = isNote ? notes : problems
      list.push({ path, message: `${nameAt(path)} has no effect: ${first.because}` })
    }
    return { problems, notes: [...notes, ...this.#notAsked(datasets)] }
  }

  /** Command-line values that no dataset and no subset took. */
  #notAsked(datasets: readonly DatasetConfig[]): ConfigProblem[] {
    const taken = new Set<string>()
    for (const { origins } of datasets.flatMap((dataset) => [dataset, ...dataset.subsets]))
      for (const [name, origin] of Object.entries(origins)) if (origin === 'command line') taken.add(name)
    const kinds = new Set(datasets.map(({ kind }) => kind))
    return (datasetOptions as readonly DatasetOption[]).flatMap((option) => {
      const name = option.name as DatasetOptionName
      const value = this.fallbacks[name]
      if (value === undefined || taken.has(name) || asksNothing(name, value)) return []
      return [{ path: ['command line', flagOf(option)], message: whyNotAsked(option, kinds) }]
    })
  }
}

function asksNothing(name: DatasetOptionName, value: unknown): boolean {
  return value === datasetOption(name).default || value === '' || value === undefined
}

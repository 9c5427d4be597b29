/** Rules between the options of a training, applied. */

import { trainNotes } from '../../config/trainNotes.ts'
import {
  type GivenTrainOptions,
  type TrainerName,
  type TrainOptionName,
  trainOptionsOf,
} from '../../config/trainOptions.ts'
import { type TrainRule, trainErrors } from '../../config/trainRules.ts'

export interface CheckTrainOptions {
  /** Options that were given with a wrong value; they are not reported as missing. Default none. */
  readonly unreadable?: ReadonlySet<string>
  /** Whether options may be missing that a look at the data can do without. Default false. */
  readonly dataOnly?: boolean
}

/**
 * Everything wrong with options whose single values are right: missing ones and ones that contradict each other.
 */
export function checkTrainOptions(
  trainer: TrainerName,
  given: GivenTrainOptions,
  { unreadable = new Set(), dataOnly = false }: CheckTrainOptions = {},
): string[] {
  const has = (name: TrainOptionName): boolean => isGiven(given, name) || unreadable.has(name)
  const missing = [...trainOptionsOf(trainer).values()]
    .filter(({ name, required }) => required && !dataOnly && !has(name as TrainOptionName))
    .map(({ name, help }) => `--${name} is missing. ${help}`)
  return [
    ...missing,
    ...rulesOf(trainer, trainErrors)
      .filter(({ breaks }) => breaks(given, has))
      .map(({ text }) => text),
  ]
}

/** Options that were given and have no effect, or another one than it seems, and why. */
export function notesOnTrainOptions(trainer: TrainerName, given: GivenTrainOptions): string[] {
  const has = (name: TrainOptionName): boolean => isGiven(given, name)
  const hints = [...trainOptionsOf(trainer).values()]
    .filter(({ name, hint }) => hint && has(name as TrainOptionName))
    .map(({ name, help }) => `--${name} changes nothing. ${help}`)
  return [
    ...hints,
    ...rulesOf(trainer, trainNotes)
      .filter(({ breaks }) => breaks(given, has))
      .map(({ text }) => text),
  ]
}

/** A switch that a configuration file turns off was not given. */
function isGiven(given: GivenTrainOptions, name: TrainOptionName): boolean {
  return given[name] !== undefined && given[name] !== false
}

/** The rules of a training: those of certain trainings, and those whose first option it has. */
function rulesOf(trainer: TrainerName, rules: readonly TrainRule[]): readonly TrainRule[] {
  const options = trainOptionsOf(trainer)
  return rules.filter(({ trainers, options: [first] }) => trainers?.includes(trainer) ?? options.has(first!))
}

/** What a learning-rate schedule is: a pure function of the step, so that a resumed run goes on exactly. */
import type { ArgumentValues, NamedArgument } from '../../config/namedArguments.ts'
import type { PythonLiteral } from '../../config/pythonLiteral.ts'
import { ArgumentError } from '../../util/errors.ts'

/** A number of optimizer steps, or a share of the run's, rounded down. */
export type StepCount = number | { readonly share: number }

/** What the schedules know of the run. Steps are optimizer steps. */
export interface ScheduleRun {
  readonly totalSteps: number
  readonly warmupSteps: number
  /** Null: not given. */
  readonly decaySteps: number | null
  readonly cycles: number
  readonly power: number
  /** The run's own rate, of which those of groups may differ. */
  readonly learningRate: number
  /** Null: not given. */
  readonly timescale: number | null
  /** Null: not given. */
  readonly minRatio: number | null
  readonly arguments: ArgumentValues
}

/**
 * The learning rate of a group for the update that follows `step` others.
 * @param base the group's own rate
 * @param group its number, from 0
 */
export type RateFunction = (step: number, base: number, group: number) => number

/**
 * A schedule of one's own: the factor of every group's rate for the update that follows `step` others. It must depend on nothing
 * else, so that a resumed run goes on as it would have.
 */
export type UserSchedule = (
  step: number,
  run: { readonly totalSteps: number; readonly warmupSteps: number; readonly arguments: ArgumentValues },
) => number

/** A schedule as a row of a table. */
export interface ScheduleDefinition {
  readonly name: string
  readonly arguments: readonly NamedArgument[]
  /** Whether `warmupSteps` means something. */
  readonly warmup: boolean
  /** What users should know who choose it. */
  readonly note?: string
  /** What is wrong with the run for this schedule; the arguments have been checked. */
  check?(run: ScheduleRun): readonly ScheduleProblem[]
  /** Expects a run that `check` has no complaint about. */
  make(run: ScheduleRun): RateFunction
}

export interface ScheduleProblem {
  /** A field of {@link ScheduleRun}. */
  readonly field: keyof ScheduleRun
  readonly expected: string
  readonly received: string
}

/** @throws ArgumentError for a share outside [0, 1] or a count that is no whole number of at least 0 */
export function resolveSteps(name: string, count: StepCount, totalSteps: number): number {
  if (typeof count === 'number') {
    if (!(Number.isInteger(count) && count >= 0))
      throw new ArgumentError('learningRate', name, 'a whole number of 0 or more, or a share', String(count))
    return count
  }
  if (!(count.share >= 0 && count.share <= 1))
    throw new ArgumentError('learningRate', name, 'a share from 0 to 1', String(count.share))
  return Math.floor(count.share * totalSteps)
}

/** The value of an argument that is a number. */
export function numberOf(values: ArgumentValues, name: string, fallback: number): number {
  const value = values[name]
  return typeof value === 'number' ? value : fallback
}

/** The value of an argument that is one number, or one for each group. */
export function rateOf(schedule: string, name: string, value: PythonLiteral | undefined, group: number): number {
  const one = Array.isArray(value) ? (value as readonly PythonLiteral[])[group] : value
  if (typeof one !== 'number')
    throw new ArgumentError(schedule, name, `one number, or one for each group`, `none for group ${group + 1}`)
  return one
}

/** Learning-rate schedules by name: what they are told, what is wrong with it, and the rates they give. */
import { type ArgumentValues, checkArguments } from '../config/namedArguments.ts'
import { ArgumentError } from '../util/errors.ts'
import { didYouMean } from '../util/nearest.ts'
import { namedSchedules } from './schedules/named.ts'
import {
  type RateFunction,
  resolveSteps,
  type ScheduleDefinition,
  type ScheduleRun,
  type StepCount,
  type UserSchedule,
} from './schedules/schedule.ts'
import { refusedTorchSchedules, torchSchedules } from './schedules/torch.ts'

/** Schedules with names of their own: the words of `--lr_scheduler`. */
export const learningRateSchedules = namedSchedules.map(({ name }) => name)

/** Classes of torch.optim.lr_scheduler: the words of `--lr_scheduler_type`. */
export const torchLearningRateSchedules = torchSchedules.map(({ name }) => name)

export type LearningRateSchedule = (typeof namedSchedules)[number]['name'] | (typeof torchSchedules)[number]['name']

export interface LearningRateOptions {
  /** A name, or a function that gives the factor of the rates. Default constant. */
  readonly schedule?: LearningRateSchedule | UserSchedule
  /** What the schedule takes besides, by its Python names: `{ step_size: 100 }` for StepLR. */
  readonly arguments?: ArgumentValues
  /** Steps over which the rate rises from 0. Default 0. */
  readonly warmupSteps?: StepCount
  /** Steps over which warmup_stable_decay falls at the end; it alone needs them. */
  readonly decaySteps?: StepCount | null
  /** Steps of the whole run. */
  readonly totalSteps: number
  /** Restarts of cosine_with_restarts, and half waves of cosine_with_min_lr and warmup_stable_decay. Default 1. */
  readonly cycles?: number
  /** Exponent of polynomial. Default 1. */
  readonly power?: number
  /** The run's rate; polynomial alone needs it, because it ends at 1e-7. */
  readonly learningRate?: number
  /** Of inverse_sqrt. Default: the warm-up, or 10,000 without. */
  readonly timescale?: number | null
  /** Where cosine_with_min_lr (which needs it) and warmup_stable_decay (default 0) end, as a share of the rate. */
  readonly minRatio?: number | null
}

const definitions: ReadonlyMap<string, ScheduleDefinition> = new Map(
  [...namedSchedules, ...torchSchedules].map((definition) => [definition.name, definition]),
)

/** Whether there is a schedule of this name. */
export function isSchedule(name: string): name is LearningRateSchedule {
  return definitions.has(name)
}

/** What a schedule says of itself, for people; null when there is nothing to say. */
export function scheduleNote(schedule: string): string | null {
  return definitions.get(schedule)?.note ?? null
}

/** Whether warm-up steps mean something to a schedule. */
export function takesWarmup(schedule: string): boolean {
  return definitions.get(schedule)?.warmup ?? true
}

/** Why there is no such schedule, and what to take instead. */
export function unknownSchedule(name: string): string {
  const reason = refusedTorchSchedules[name]
  if (reason !== undefined)
    return `${name} cannot be chosen by name, because ${reason}; write a function instead: ./file.js#name`
  const names = [...definitions.keys()]
  return `"${name}" is no schedule; there are ${names.join(', ')}, and your own as ./file.js#name.${didYouMean(name, names)}`
}

/**
 * What is wrong with the arguments of a schedule.
 * @param option begins the messages: `--lr_scheduler_args`
 */
export function checkScheduleArguments(option: string, schedule: string, given: ArgumentValues): string[] {
  const definition = definitions.get(schedule)
  return definition === undefined ? [] : checkArguments(option, schedule, definition.arguments, given)
}

/**
 * The learning rates of a run: `rate(step, base, group)` is that of a group whose own is `base` for the update that follows `step`
 * others, so the first update of a run with warm-up has rate 0.
 *
 * @throws ArgumentError for an unknown schedule or options that do not fit it
 */
export function learningRateSchedule(options: LearningRateOptions): RateFunction {
  const op = 'learningRate'
  const { schedule = 'constant', totalSteps } = options
  if (!(totalSteps > 0)) throw new ArgumentError(op, 'totalSteps', 'positive', String(totalSteps))
  const run: ScheduleRun = {
    totalSteps,
    warmupSteps: resolveSteps('warmupSteps', options.warmupSteps ?? 0, totalSteps),
    decaySteps: options.decaySteps == null ? null : resolveSteps('decaySteps', options.decaySteps, totalSteps),
    cycles: options.cycles ?? 1,
    power: options.power ?? 1,
    learningRate: options.learningRate ?? 0,
    timescale: options.timescale ?? null,
    minRatio: options.minRatio ?? null,
    arguments: options.arguments ?? {},
  }
  if (typeof schedule === 'function') return userRates(schedule, run)
  const definition = definitions.get(schedule)
  if (definition === undefined) {
    const names = [...definitions.keys()]
    throw new ArgumentError(
      op,
      'schedule',
      `one of ${names.join(', ')}`,
      `"${schedule}".${didYouMean(schedule, names)}`,
    )
  }
  if (!definition.warmup && run.warmupSteps !== 0) {
    const advice = schedule === 'constant' ? ' (or use constant_with_warmup)' : ''
    throw new ArgumentError(op, 'warmupSteps', `0 for ${schedule}${advice}`, String(run.warmupSteps))
  }
  const [problem] = checkArguments(`${op}: arguments`, schedule, definition.arguments, run.arguments)
  if (problem !== undefined) throw new ArgumentError(op, 'arguments', `those of ${schedule}`, problem)
  const [misfit] = definition.check?.(run) ?? []
  if (misfit !== undefined) throw new ArgumentError(op, misfit.field, misfit.expected, misfit.received)
  return definition.make(run)
}

/**
 * The factor of every group's rate, for schedules that have one for all groups: all but those of absolute rates (OneCycleLR,
 * CyclicLR, and others with `eta_min`).
 *
 * @throws ArgumentError for an unknown schedule or options that do not fit it
 */
export function learningRateMultiplier(options: LearningRateOptions): (step: number) => number {
  const rate = learningRateSchedule(options)
  return (step) => rate(step, 1, 0)
}

function userRates(schedule: UserSchedule, run: ScheduleRun): RateFunction {
  const { totalSteps, warmupSteps, arguments: values } = run
  const facts = { totalSteps, warmupSteps, arguments: values }
  return (step, base) => {
    const factor: unknown = schedule(step, facts)
    if (typeof factor !== 'number' || !(factor >= 0 && Number.isFinite(factor)))
      throw new ArgumentError(
        schedule.name || 'schedule',
        `the factor of step ${step}`,
        'a number of 0 or more',
        typeof factor === 'number' ? String(factor) : typeof factor,
      )
    return base * factor
  }
}

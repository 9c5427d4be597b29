/** Learning-rate schedules: pure functions from the number of steps taken to a multiplier of each group's learning rate. */
import { ArgumentError } from '../util/errors.ts'
import { didYouMean } from '../util/nearest.ts'

export const learningRateSchedules = [
  'constant',
  'constant_with_warmup',
  'linear',
  'cosine',
  'cosine_with_restarts',
  'polynomial',
] as const

export type LearningRateSchedule = (typeof learningRateSchedules)[number]

export interface LearningRateOptions {
  /** Default constant. */
  readonly schedule?: LearningRateSchedule
  /** Steps over which the multiplier rises from 0. Default 0. */
  readonly warmupSteps?: number
  /** Steps of the whole run. */
  readonly totalSteps: number
  /** Restarts of cosine_with_restarts. Default 1. */
  readonly cycles?: number
  /** Exponent of polynomial. Default 1. */
  readonly power?: number
  /** The base learning rate; polynomial alone needs it, because it ends at 1e-7. */
  readonly learningRate?: number
}

/** Where polynomial decay ends. */
const finalRate = 1e-7

function check({ schedule = 'constant', warmupSteps = 0, totalSteps, learningRate }: LearningRateOptions): void {
  const op = 'learningRate'
  if (!learningRateSchedules.includes(schedule))
    throw new ArgumentError(
      op,
      'schedule',
      `one of ${learningRateSchedules.join(', ')}`,
      `"${schedule}".${didYouMean(schedule, learningRateSchedules)}`,
    )
  if (!(warmupSteps >= 0)) throw new ArgumentError(op, 'warmupSteps', '0 or more', String(warmupSteps))
  if (!(totalSteps > 0)) throw new ArgumentError(op, 'totalSteps', 'positive', String(totalSteps))
  if (schedule === 'constant' && warmupSteps !== 0)
    throw new ArgumentError(op, 'warmupSteps', '0 for constant (or use constant_with_warmup)', String(warmupSteps))
  if (schedule === 'polynomial' && !(learningRate !== undefined && learningRate > finalRate))
    throw new ArgumentError(op, 'learningRate', `more than ${finalRate} for polynomial`, String(learningRate))
}

/**
 * The multiplier of every step of a run: `multiplier(k)` is for the update that follows k others, so the first update of a run with
 * warm-up has multiplier 0.
 * @throws ArgumentError for an unknown schedule or options that do not fit it
 */
export function learningRateMultiplier(options: LearningRateOptions): (step: number) => number {
  check(options)
  const { schedule = 'constant', warmupSteps, totalSteps, cycles = 1, power = 1, learningRate = 0 } = options
  const warmup = warmupSteps ?? 0
  const decay = decayOf(schedule, { warmup, totalSteps, cycles, power, learningRate })
  return (step) => (step < warmup ? step / Math.max(1, warmup) : decay(step))
}

interface DecayOptions {
  readonly warmup: number
  readonly totalSteps: number
  readonly cycles: number
  readonly power: number
  readonly learningRate: number
}

function decayOf(
  schedule: LearningRateSchedule,
  { warmup, totalSteps, cycles, power, learningRate }: DecayOptions,
): (step: number) => number {
  const length = Math.max(1, totalSteps - warmup)
  const progress = (step: number): number => (step - warmup) / length
  switch (schedule) {
    case 'constant':
    case 'constant_with_warmup':
      return () => 1
    case 'linear':
      return (step) => Math.max(0, (totalSteps - step) / length)
    case 'cosine':
      return (step) => Math.max(0, 0.5 * (1 + Math.cos(Math.PI * progress(step))))
    case 'cosine_with_restarts':
      return (step) => {
        const p = progress(step)
        return p >= 1 ? 0 : Math.max(0, 0.5 * (1 + Math.cos(Math.PI * ((cycles * p) % 1))))
      }
    case 'polynomial':
      return (step) => {
        if (step > totalSteps) return finalRate / learningRate
        const remaining = totalSteps === warmup ? 0 : 1 - (step - warmup) / (totalSteps - warmup)
        return ((learningRate - finalRate) * remaining ** power + finalRate) / learningRate
      }
    default:
      return schedule satisfies never
  }
}

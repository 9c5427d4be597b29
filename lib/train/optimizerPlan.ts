/** From what a training is told about its optimizer to the optimizer, its schedule and what there is to say about them. */
import { type ArgumentValues, pythonText } from '../config/namedArguments.ts'
import { describeUnequalRates } from '../optim/adaptiveRates.ts'
import { type AdjustedPlan, adjustOptimizer } from '../optim/adjustOptimizer.ts'
import type { OptimizerClass, OptimizerGroup } from '../optim/customOptimizer.ts'
import {
  checkScheduleArguments,
  isSchedule,
  type LearningRateSchedule,
  learningRateSchedule,
  scheduleNote,
  takesWarmup,
  unknownSchedule,
} from '../optim/learningRate.ts'
import type { Optimizer } from '../optim/optimizer.ts'
import { checkOptimizerArguments, createOptimizer, findOptimizer, type OptimizerRow } from '../optim/registry.ts'
import { type RateFunction, resolveSteps, type StepCount, type UserSchedule } from '../optim/schedules/schedule.ts'
import { ConfigError } from '../util/errors.ts'

/** The optimizer, its rates and their schedule. */
export interface OptimizerConfig {
  /** A name of `optimizerNames`, or a class of your own. */
  readonly type: string | OptimizerClass
  /** What the optimizer takes, by Python's names: `{ weight_decay: 0.1 }`. Default: nothing. */
  readonly arguments?: ArgumentValues
  /** The arguments as Python prints them, for the metadata of files. Default: made from the values. */
  readonly argumentTexts?: Readonly<Record<string, string>>
  readonly learningRate: number
  readonly unetLearningRate: number | null
  readonly textEncoderLearningRate: number | null
  /** 0: gradients are not clipped. */
  readonly maxGradNorm: number
  /** A name of `learningRateSchedules` or `torchLearningRateSchedules`, or a function of your own. */
  readonly scheduler: LearningRateSchedule | UserSchedule
  /** What the schedule takes, by Python's names: `{ step_size: 100 }`. Default: nothing. */
  readonly schedulerArguments?: ArgumentValues
  /** Optimizer steps, or a share of the run. */
  readonly warmupSteps: StepCount
  /** Of warmup_stable_decay. Default: none. */
  readonly decaySteps?: StepCount | null
  readonly schedulerCycles: number
  readonly schedulerPower: number
  /** Of inverse_sqrt. Default: the warm-up, or 10,000. */
  readonly schedulerTimescale?: number | null
  /** Where cosine_with_min_lr and warmup_stable_decay end. */
  readonly schedulerMinRatio?: number | null
}

/** What will be done. */
export interface OptimizerPlan extends AdjustedPlan {
  readonly config: OptimizerConfig
  /** Null for a class of the user. */
  readonly row: OptimizerRow | null
}

/**
 * Finds the optimizer and the schedule, checks their arguments and adjusts the options to each other. Never throws: what is wrong is
 * in `problems`, in the words of the command line.
 *
 * @param trained the parts that learn
 */
export function planOptimizer(
  config: OptimizerConfig,
  trained: readonly ('textencoder' | 'unet')[] = ['textencoder', 'unet'],
): OptimizerPlan {
  const { type, arguments: values = {}, scheduler, warmupSteps } = config
  const warmup = typeof warmupSteps === 'number' ? warmupSteps > 0 : warmupSteps.share > 0
  const plan = {
    learningRate: config.learningRate,
    unetLearningRate: config.unetLearningRate,
    textEncoderLearningRate: config.textEncoderLearningRate,
    arguments: values,
    scheduler: typeof scheduler === 'string' ? scheduler : null,
    warmup,
    maxGradNorm: config.maxGradNorm,
    trained,
  }
  const messages = typeof scheduler === 'string' ? (scheduleNote(scheduler) ?? []) : []
  if (typeof type !== 'string')
    return { config, row: null, plan, messages: [messages].flat(), problems: scheduleProblems(config, warmup) }
  try {
    const row = findOptimizer(type)
    const adjusted = adjustOptimizer(row, plan)
    // A schedule that the optimizer replaces has no problem with warm-up.
    const isKept = adjusted.plan.scheduler === plan.scheduler && adjusted.plan.warmup
    const problems = scheduleProblems(config, isKept)
    return {
      config,
      row,
      plan: adjusted.plan,
      messages: [...[messages].flat(), ...adjusted.messages],
      problems: [...problems, ...checkOptimizerArguments('--optimizer_args', row, values), ...adjusted.problems],
    }
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return {
      config,
      row: null,
      plan,
      messages: [messages].flat(),
      problems: [error.message, ...scheduleProblems(config, warmup)],
    }
  }
}

function scheduleProblems(config: OptimizerConfig, warmup: boolean): string[] {
  const { scheduler, schedulerArguments = {}, learningRate } = config
  if (typeof scheduler !== 'string') return []
  const problems = checkScheduleArguments('--lr_scheduler_args', scheduler, schedulerArguments)
  if (!isSchedule(scheduler)) return [unknownSchedule(scheduler)]
  if (warmup && !takesWarmup(scheduler)) {
    const advice = scheduler === 'constant' ? ': use constant_with_warmup' : ''
    problems.push(`--lr_warmup_steps has no meaning for the schedule ${scheduler}${advice}`)
  }
  const end = typeof schedulerArguments.lr_end === 'number' ? schedulerArguments.lr_end : 1e-7
  if (scheduler === 'polynomial' && learningRate <= end)
    problems.push(`--lr_scheduler polynomial ends at ${end}, so --learning_rate must be larger, found ${learningRate}`)
  if (scheduler === 'cosine_with_min_lr' && (config.schedulerMinRatio ?? null) === null)
    problems.push('--lr_scheduler cosine_with_min_lr needs --lr_scheduler_min_lr_ratio')
  if (scheduler === 'warmup_stable_decay' && (config.decaySteps ?? null) === null)
    problems.push('--lr_scheduler warmup_stable_decay needs --lr_decay_steps')
  return problems
}

/**
 * @param seed of the rounding of 16-bit parameters, up or down by chance
 * @throws ConfigError when the plan has problems, ArgumentError for values out of range
 */
export function makeOptimizer(plan: OptimizerPlan, groups: readonly OptimizerGroup[], seed = 0): Optimizer {
  expectNoProblems(plan)
  const { type } = plan.config
  if (typeof type !== 'string') return new type(groups, plan.plan.arguments)
  const rounds = groups.some(({ params }) => params.some(({ master }) => master.dtype !== 'float32'))
  return createOptimizer(type, groups, plan.plan.arguments, rounds ? { stochasticRounding: { seed } } : {})
}

/** What to know about groups with rates of their own, blocks of the network for example. */
export function groupRateAdvice({ row }: OptimizerPlan, groups: readonly OptimizerGroup[]): string[] {
  if (row?.rates !== 'estimated') return []
  const [rates, names] = [groups.map(({ learningRate }) => learningRate), groups.map(({ name }) => name)]
  return [describeUnequalRates(row.name, rates, names) ?? []].flat()
}

/**
 * What to know where no group ever has a rate, or none its own: the run would learn nothing, or little. An optimizer that finds its
 * own rate needs none, and a schedule of the user is not asked before its time.
 */
export function lowRateAdvice(
  { config, row, plan }: OptimizerPlan,
  groups: readonly OptimizerGroup[],
  rate: RateFunction,
  totalSteps: number,
): string[] {
  if (plan.learningRate === null || row === null || typeof config.scheduler === 'function') return []
  for (let step = 0; step < totalSteps; step++)
    if (groups.some(({ learningRate }, group) => rate(step, learningRate, group) > 0)) {
      const warmup = plan.warmup ? resolveSteps('warmupSteps', config.warmupSteps, totalSteps) : 0
      const short = `the warm-up of ${warmup} steps does not end within the ${totalSteps} steps of the run`
      return warmup < totalSteps ? [] : [`${short}: the learning rate never gets as high as it should`]
    }
  return ['nothing will be learned: the learning rate of every group is 0 in every step']
}

/** @throws ConfigError that names every problem of a plan, one on a line */
export function expectNoProblems({ problems }: OptimizerPlan): void {
  if (problems.length > 0) throw new ConfigError(problems.join('\n'))
}

/** The rates of a run. */
export function makeSchedule({ config, plan }: OptimizerPlan, totalSteps: number): RateFunction {
  const { scheduler } = plan
  const schedule =
    scheduler === null ? (config.scheduler as UserSchedule) : (scheduler.split(':')[0] as LearningRateSchedule)
  return learningRateSchedule({
    schedule,
    totalSteps,
    arguments: config.schedulerArguments ?? {},
    warmupSteps: plan.warmup ? config.warmupSteps : 0,
    decaySteps: config.decaySteps ?? null,
    cycles: config.schedulerCycles,
    power: config.schedulerPower,
    learningRate: config.learningRate,
    timescale: config.schedulerTimescale ?? null,
    minRatio: config.schedulerMinRatio ?? null,
  })
}

/** The optimizer as metadata records it: `module.Class`, or `module.Class(key=value,key=value)`. */
export function recordedOptimizer({ config, row, plan }: OptimizerPlan): string {
  const name = row?.recorded ?? (typeof config.type === 'string' ? config.type : config.type.name)
  const texts = Object.entries(plan.arguments).map(
    ([key, value]) => `${key}=${config.argumentTexts?.[key] ?? pythonText(value)}`,
  )
  return texts.length === 0 ? name : `${name}(${texts.join(',')})`
}

/** The schedule as metadata records it. */
export function recordedSchedule({ config, plan }: OptimizerPlan): string {
  return plan.scheduler ?? ((config.scheduler as UserSchedule).name || 'function')
}

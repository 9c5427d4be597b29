/** What choosing an optimizer changes about the other options of a run, as sd-scripts does it, and what is said about it. */
import { type ArgumentValues, pythonText } from '../config/namedArguments.ts'
import { pythonFloatRepr } from '../util/pythonFloat.ts'
import { describeLowRate, describeUnequalRates } from './adaptiveRates.ts'
import type { OptimizerRow } from './registry.ts'

/** The options that matter to each other. */
export interface RatePlan {
  /** Null: the optimizer finds the rate itself. */
  readonly learningRate: number | null
  readonly unetLearningRate: number | null
  readonly textEncoderLearningRate: number | null
  readonly arguments: ArgumentValues
  /** A schedule's name; `adafactor:<rate>` is the reporter of AdaFactor's own rates. Null: a function of the user. */
  readonly scheduler: string | null
  /** Whether there is warm-up. */
  readonly warmup: boolean
  readonly maxGradNorm: number
  /** The groups, in order. */
  readonly trained: readonly ('textencoder' | 'unet')[]
}

export interface AdjustedPlan {
  readonly plan: RatePlan
  readonly messages: readonly string[]
  /** Combinations that cannot be trained. */
  readonly problems: readonly string[]
}

/** Adjusts the options of a run to its optimizer; a pure function. */
export function adjustOptimizer(row: OptimizerRow, plan: RatePlan): AdjustedPlan {
  const added = Object.entries(row.added ?? {}).filter(([name]) => !Object.hasOwn(plan.arguments, name))
  const given: RatePlan = { ...plan, arguments: { ...plan.arguments, ...Object.fromEntries(added) } }
  const messages = added.map(([name, value]) => `${row.name} is given ${name}=${pythonText(value)}`)
  if (row.note) messages.push(`${row.name}: ${row.note}`)
  const rest = ((): AdjustedPlan => {
    switch (row.rates) {
      case 'given':
        return { plan: given, messages: [], problems: withoutAdafactor(given) }
      case 'estimated':
        return { plan: given, messages: rateAdvice(row, given), problems: withoutAdafactor(given) }
      case 'scheduleFree':
        return scheduleFree(row, given)
      case 'relative':
        return relative(row, given)
      default:
        return row.rates satisfies never
    }
  })()
  return { ...rest, messages: [...messages, ...rest.messages] }
}

function withoutAdafactor({ scheduler }: RatePlan): string[] {
  return scheduler?.startsWith('adafactor') ? ['--lr_scheduler adafactor needs --optimizer_type AdaFactor'] : []
}

/** D-Adaptation and Prodigy estimate the step; the learning rate is a factor of it. */
function rateAdvice(row: OptimizerRow, plan: RatePlan): string[] {
  const { learningRate, unetLearningRate, textEncoderLearningRate, trained } = plan
  const own = { unet: unetLearningRate, textencoder: textEncoderLearningRate }
  const rates = trained.map((part) => own[part] ?? learningRate ?? 0)
  const messages = [describeLowRate(row.name, rates), describeUnequalRates(row.name, rates, trained)]
  return messages.filter((message) => message !== null)
}

/** The schedule is in the averaging. */
function scheduleFree(row: OptimizerRow, plan: RatePlan): AdjustedPlan {
  const messages: string[] = []
  if (plan.scheduler !== 'constant' || plan.warmup)
    messages.push(
      `${row.name} needs no schedule: --lr_scheduler and warm-up are not used${
        row.arguments.some(({ name }) => name === 'warmup_steps') ? '; --optimizer_args warmup_steps=N warms it up' : ''
      }`,
    )
  return { plan: { ...plan, scheduler: 'constant', warmup: false }, messages, problems: [] }
}

/** AdaFactor sets its own rate, relative to the parameters, unless told not to. */
function relative(row: OptimizerRow, plan: RatePlan): AdjustedPlan {
  const messages: string[] = []
  let { relative_step: on = true } = plan.arguments
  if (on === false && plan.arguments.warmup_init === true) {
    messages.push(`${row.name}: warmup_init needs relative_step, which is turned on`)
    on = true
  }
  const adjusted: RatePlan = { ...plan, arguments: { ...plan.arguments, relative_step: on } }
  if (on === false)
    return { plan: adjusted, messages: [...messages, ...fixedRateAdvice(row, plan)], problems: withoutAdafactor(plan) }
  const rate = plan.learningRate ?? 0
  if (rate !== 0)
    messages.push(`${row.name} with relative_step finds its own rate: --learning_rate only shows before the first step`)
  if (plan.unetLearningRate !== null || plan.textEncoderLearningRate !== null)
    messages.push(`${row.name} with relative_step: --unet_lr and --text_encoder_lr are not used`)
  if (!plan.scheduler?.startsWith('adafactor'))
    messages.push(`${row.name} with relative_step: the schedule is adafactor, not ${plan.scheduler ?? 'your own'}`)
  const problems = plan.warmup
    ? ['--lr_warmup_steps has no meaning for AdaFactor with relative_step: leave it out']
    : []
  return {
    plan: {
      ...adjusted,
      learningRate: null,
      unetLearningRate: null,
      textEncoderLearningRate: null,
      scheduler: `adafactor:${pythonFloatRepr(rate)}`,
    },
    messages,
    problems,
  }
}

function fixedRateAdvice(row: OptimizerRow, { maxGradNorm, scheduler, arguments: values }: RatePlan): string[] {
  const messages: string[] = []
  if (maxGradNorm !== 0) messages.push(`${row.name} clips its updates itself: consider --max_grad_norm 0`)
  if (scheduler !== 'constant_with_warmup')
    messages.push(`${row.name} with a fixed rate: consider --lr_scheduler constant_with_warmup`)
  if ((values.clip_threshold ?? 1) !== 1)
    messages.push(`${row.name} with a fixed rate: consider --optimizer_args clip_threshold=1.0`)
  return messages
}

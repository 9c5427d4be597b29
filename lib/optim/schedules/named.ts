/** The schedules with names of their own, as diffusers and transformers define them. */
import type { NamedArgument } from '../../config/namedArguments.ts'
import { numberOf, type RateFunction, type ScheduleDefinition, type ScheduleRun } from './schedule.ts'

/** Where polynomial decay ends unless told otherwise. */
const finalRate = 1e-7

const shapes = ['linear', 'cosine', '1-sqrt'] as const
type Shape = (typeof shapes)[number]

const cycles: NamedArgument = { name: 'num_cycles', kind: 'number', minimum: 0 }

/** A schedule that rises from 0 over the warm-up and then is what `after` says. */
function warmed(run: ScheduleRun, after: (step: number) => number): RateFunction {
  const { warmupSteps } = run
  return (step, base) => base * (step < warmupSteps ? step / Math.max(1, warmupSteps) : after(step))
}

/** From 0 at the end of the warm-up to 1 at the end of the run. */
function progressOf({ warmupSteps, totalSteps }: ScheduleRun): (step: number) => number {
  const length = Math.max(1, totalSteps - warmupSteps)
  return (step) => (step - warmupSteps) / length
}

/** @param waves a half takes the rate from 1 to 0 once */
function cosine(progress: number, waves: number): number {
  return 0.5 * (1 + Math.cos(Math.PI * waves * 2 * progress))
}

export const namedSchedules = [
  {
    name: 'constant',
    arguments: [],
    warmup: false,
    make: () => (_step, base) => base,
  },
  {
    name: 'constant_with_warmup',
    arguments: [],
    warmup: true,
    make: (run) => warmed(run, () => 1),
  },
  {
    name: 'linear',
    arguments: [],
    warmup: true,
    make(run) {
      const { totalSteps, warmupSteps } = run
      return warmed(run, (step) => Math.max(0, (totalSteps - step) / Math.max(1, totalSteps - warmupSteps)))
    },
  },
  {
    name: 'cosine',
    arguments: [cycles],
    warmup: true,
    make(run) {
      const progress = progressOf(run)
      const waves = numberOf(run.arguments, 'num_cycles', 0.5)
      return warmed(run, (step) => Math.max(0, cosine(progress(step), waves)))
    },
  },
  {
    name: 'cosine_with_restarts',
    arguments: [],
    warmup: true,
    make(run) {
      const progress = progressOf(run)
      return warmed(run, (step) => {
        const p = progress(step)
        return p >= 1 ? 0 : Math.max(0, 0.5 * (1 + Math.cos(Math.PI * ((run.cycles * p) % 1))))
      })
    },
  },
  {
    name: 'polynomial',
    arguments: [{ name: 'lr_end', kind: 'number', minimum: 0 }],
    warmup: true,
    note: 'polynomial ends at 1e-7 (lr_end), as a share of learning_rate that holds for groups with other rates too',
    check({ learningRate, arguments: values }) {
      const end = numberOf(values, 'lr_end', finalRate)
      if (learningRate > end) return []
      return [{ field: 'learningRate', expected: `more than ${end} for polynomial`, received: String(learningRate) }]
    },
    make(run) {
      const { totalSteps, warmupSteps, power, learningRate } = run
      const end = numberOf(run.arguments, 'lr_end', finalRate)
      return warmed(run, (step) => {
        if (step > totalSteps) return end / learningRate
        const remaining = totalSteps === warmupSteps ? 0 : 1 - (step - warmupSteps) / (totalSteps - warmupSteps)
        return ((learningRate - end) * remaining ** power + end) / learningRate
      })
    },
  },
  {
    name: 'adafactor',
    arguments: [],
    warmup: false,
    note: 'adafactor leaves the rate to AdaFactor itself (relative_step=True)',
    make: () => (_step, base) => base,
  },
  {
    name: 'inverse_sqrt',
    arguments: [],
    warmup: true,
    make(run) {
      const timescale = run.timescale ?? (run.warmupSteps || 10_000)
      const shift = timescale - run.warmupSteps
      return warmed(run, (step) => 1 / Math.sqrt((step + shift) / timescale))
    },
  },
  {
    name: 'cosine_with_min_lr',
    arguments: [],
    warmup: true,
    check({ minRatio }) {
      if (minRatio !== null) return []
      return [{ field: 'minRatio', expected: 'given for cosine_with_min_lr', received: 'nothing' }]
    },
    make(run) {
      const progress = progressOf(run)
      const ratio = run.minRatio ?? 0
      return warmed(run, (step) => Math.max(0, cosine(progress(step), run.cycles / 2) * (1 - ratio) + ratio))
    },
  },
  {
    name: 'warmup_stable_decay',
    arguments: [
      { name: 'warmup_type', kind: 'text', choices: shapes },
      { name: 'decay_type', kind: 'text', choices: shapes },
    ],
    warmup: true,
    check({ decaySteps, warmupSteps, totalSteps }) {
      if (decaySteps === null)
        return [{ field: 'decaySteps', expected: 'given for warmup_stable_decay', received: 'nothing' }]
      if (decaySteps + warmupSteps <= totalSteps) return []
      const expected = `at most the ${totalSteps} steps of the run less ${warmupSteps} of warm-up`
      return [{ field: 'decaySteps', expected, received: String(decaySteps) }]
    },
    make(run) {
      const { warmupSteps, totalSteps } = run
      const decaySteps = run.decaySteps ?? 0
      const ratio = run.minRatio ?? 0
      const { warmup_type: warmupShape = 'linear', decay_type: decayShape = 'cosine' } = run.arguments
      const raise = (factor: number): number => Math.max(0, factor * (1 - ratio) + ratio)
      return (step, base) => {
        if (step < warmupSteps) return base * raise(rise(warmupShape as Shape, step / Math.max(1, warmupSteps)))
        if (step < totalSteps - decaySteps) return base
        if (step >= totalSteps) return base * ratio
        const progress = (step - (totalSteps - decaySteps)) / Math.max(1, decaySteps)
        return base * raise(fall(decayShape as Shape, progress, run.cycles / 2))
      }
    },
  },
  {
    name: 'piecewise_constant',
    arguments: [{ name: 'step_rules', kind: 'text', required: true }],
    warmup: false,
    check({ arguments: { step_rules: text } }) {
      if (typeof text !== 'string' || readStepRules(text) !== null) return []
      const expected = `with step_rules such as '1:100,0.1:200,0.01' (factor:until step, ..., last factor)`
      return [{ field: 'arguments', expected, received: JSON.stringify(text) }]
    },
    make(run) {
      const { rules, last } = readStepRules(String(run.arguments.step_rules))!
      return (step, base) => base * (rules.find(({ until }) => step < until)?.factor ?? last)
    },
  },
] as const satisfies readonly ScheduleDefinition[]

function rise(shape: Shape, progress: number): number {
  if (shape === 'linear') return progress
  return shape === 'cosine' ? 0.5 * (1 - Math.cos(Math.PI * progress)) : 1 - Math.sqrt(1 - progress)
}

function fall(shape: Shape, progress: number, waves: number): number {
  if (shape === 'linear') return 1 - progress
  return shape === 'cosine' ? cosine(progress, waves) : 1 - Math.sqrt(progress)
}

interface StepRules {
  readonly rules: readonly { readonly factor: number; readonly until: number }[]
  readonly last: number
}

function readStepRules(text: string): StepRules | null {
  const parts = text.split(',').map((part) => part.trim())
  const last = readFactor(parts.pop() ?? '')
  const rules = parts.map((part) => {
    const [, factor = '', until = ''] = /^([^:]+):\s*(\d+)$/.exec(part) ?? []
    return { factor: readFactor(factor), until: Number(until || Number.NaN) }
  })
  if ([last, ...rules.flatMap(({ factor, until }) => [factor, until])].some(Number.isNaN)) return null
  return { rules: rules.sort((a, b) => a.until - b.until), last }
}

function readFactor(text: string): number {
  const value = text.trim() === '' ? Number.NaN : Number(text)
  return value >= 0 && value < Number.POSITIVE_INFINITY ? value : Number.NaN
}

/** Schedules of torch.optim.lr_scheduler, as functions of the step instead of recursions from one step to the next. */
import type { ArgumentValues, NamedArgument } from '../../config/namedArguments.ts'
import { numberOf, type RateFunction, rateOf, type ScheduleDefinition, type ScheduleRun } from './schedule.ts'

const gamma: NamedArgument = { name: 'gamma', kind: 'number', minimum: 0 }
const etaMin: NamedArgument = { name: 'eta_min', kind: 'number', minimum: 0 }

/** A whole number of at least 1. */
function count(name: string, required = false): NamedArgument {
  return { name, kind: 'integer', minimum: 1, required }
}

const momentumCycles: readonly NamedArgument[] = [
  {
    name: 'cycle_momentum',
    kind: 'boolean',
    only: { value: false, because: "the momentum of a step is the optimizer's own" },
  },
]

function own(name: string): string {
  return `${name} sets the rates itself: learning_rate and those of the groups do not matter. Momentum stays as it is, whereas torch cycles it by default`
}

/** Half a cosine from `high` to `low`, and on. */
function anneal(high: number, low: number, progress: number): number {
  return low + ((high - low) * (1 + Math.cos(Math.PI * progress))) / 2
}

export const torchSchedules = [
  {
    name: 'StepLR',
    arguments: [count('step_size', true), gamma],
    warmup: false,
    make({ arguments: values }) {
      const [size, factor] = [numberOf(values, 'step_size', 1), numberOf(values, 'gamma', 0.1)]
      return (step, base) => base * factor ** Math.floor(step / size)
    },
  },
  {
    name: 'MultiStepLR',
    arguments: [{ name: 'milestones', kind: 'numbers', minimum: 0, required: true }, gamma],
    warmup: false,
    make({ arguments: values }) {
      const milestones = values.milestones as readonly number[]
      const factor = numberOf(values, 'gamma', 0.1)
      return (step, base) => base * factor ** milestones.filter((milestone) => milestone <= step).length
    },
  },
  {
    name: 'ConstantLR',
    arguments: [{ name: 'factor', kind: 'number', minimum: 0 }, count('total_iters')],
    warmup: false,
    make({ arguments: values }) {
      const [factor, total] = [numberOf(values, 'factor', 1 / 3), numberOf(values, 'total_iters', 5)]
      return (step, base) => (step < total ? base * factor : base)
    },
  },
  {
    name: 'LinearLR',
    arguments: [
      { name: 'start_factor', kind: 'number', minimum: 0 },
      { name: 'end_factor', kind: 'number', minimum: 0 },
      count('total_iters'),
    ],
    warmup: false,
    make({ arguments: values }) {
      const [start, end] = [numberOf(values, 'start_factor', 1 / 3), numberOf(values, 'end_factor', 1)]
      const total = numberOf(values, 'total_iters', 5)
      return (step, base) => base * (start + ((end - start) * Math.min(total, step)) / total)
    },
  },
  {
    name: 'ExponentialLR',
    arguments: [{ ...gamma, required: true }],
    warmup: false,
    make: ({ arguments: values }) => {
      const factor = numberOf(values, 'gamma', 1)
      return (step, base) => base * factor ** step
    },
  },
  {
    name: 'PolynomialLR',
    arguments: [count('total_iters'), { name: 'power', kind: 'number', minimum: 0 }],
    warmup: false,
    make({ arguments: values }) {
      const [total, power] = [numberOf(values, 'total_iters', 5), numberOf(values, 'power', 1)]
      return (step, base) => base * (1 - Math.min(total, step) / total) ** power
    },
  },
  {
    name: 'CosineAnnealingLR',
    arguments: [count('T_max', true), etaMin],
    warmup: false,
    make({ arguments: values }) {
      const [period, low] = [numberOf(values, 'T_max', 1), numberOf(values, 'eta_min', 0)]
      return (step, base) => anneal(base, low, step / period)
    },
  },
  {
    name: 'CosineAnnealingWarmRestarts',
    arguments: [count('T_0', true), count('T_mult'), etaMin],
    warmup: false,
    make({ arguments: values }) {
      const [first, growth] = [numberOf(values, 'T_0', 1), numberOf(values, 'T_mult', 1)]
      const low = numberOf(values, 'eta_min', 0)
      return (step, base) => {
        let [at, period] = [step, first]
        if (growth === 1) at = step % first
        else for (; at >= period; period *= growth) at -= period
        return anneal(base, low, at / period)
      }
    },
  },
  {
    name: 'OneCycleLR',
    arguments: [
      { name: 'max_lr', kind: 'rates', minimum: 0, required: true },
      ...['total_steps', 'epochs', 'steps_per_epoch'].map((name) => count(name)),
      { name: 'pct_start', kind: 'number', minimum: 0, below: 1 },
      { name: 'anneal_strategy', kind: 'text', choices: ['cos', 'linear'] },
      { name: 'div_factor', kind: 'number', minimum: 1 },
      { name: 'final_div_factor', kind: 'number', minimum: 1 },
      { name: 'three_phase', kind: 'boolean' },
      ...momentumCycles,
    ],
    warmup: false,
    note: `${own('OneCycleLR')}; total_steps is the length of the run unless given`,
    check(run) {
      const steps = oneCycleSteps(run)
      if (steps >= run.totalSteps) return []
      const expected = `with total_steps of at least the run's ${run.totalSteps} steps for OneCycleLR`
      return [{ field: 'arguments', expected, received: String(steps) }]
    },
    make: oneCycle,
  },
  {
    name: 'CyclicLR',
    arguments: [
      { name: 'base_lr', kind: 'rates', minimum: 0, required: true },
      { name: 'max_lr', kind: 'rates', minimum: 0, required: true },
      count('step_size_up'),
      { ...count('step_size_down'), optional: true },
      { name: 'mode', kind: 'text', choices: ['triangular', 'triangular2', 'exp_range'] },
      gamma,
      ...momentumCycles,
    ],
    warmup: false,
    note: own('CyclicLR'),
    make: ({ arguments: values }) => cyclic(values),
  },
] as const satisfies readonly ScheduleDefinition[]

/** Names of torch.optim.lr_scheduler that cannot be had from a command line, and why. */
export const refusedTorchSchedules: Readonly<Record<string, string>> = {
  LambdaLR: 'it takes a function of Python',
  MultiplicativeLR: 'it takes a function of Python',
  ReduceLROnPlateau: 'it follows a validation loss, and a schedule here is a function of the step',
  SequentialLR: 'it is made of other schedulers',
  ChainedScheduler: 'it is made of other schedulers',
}

function oneCycleSteps({ arguments: values, totalSteps }: ScheduleRun): number {
  const { epochs, steps_per_epoch: steps } = values
  const product = typeof epochs === 'number' && typeof steps === 'number' ? epochs * steps : totalSteps
  return numberOf(values, 'total_steps', product)
}

/** Smith and Topin, "Super-convergence", 2019: up to the highest rate, down to the first, and further to almost nothing. */
function oneCycle(run: ScheduleRun): RateFunction {
  const values = run.arguments
  const total = oneCycleSteps(run)
  const turn = numberOf(values, 'pct_start', 0.3) * total
  const factors = { first: 1 / numberOf(values, 'div_factor', 25), last: 1 / numberOf(values, 'final_div_factor', 1e4) }
  const linear = values.anneal_strategy === 'linear'
  return (step, _base, group) => {
    const highest = rateOf('OneCycleLR', 'max_lr', values.max_lr, group)
    const first = highest * factors.first
    const last = first * factors.last
    const phases =
      values.three_phase === true
        ? [
            { end: turn - 1, from: first, to: highest },
            { end: 2 * turn - 2, from: highest, to: first },
            { end: total - 1, from: first, to: last },
          ]
        : [
            { end: turn - 1, from: first, to: highest },
            { end: total - 1, from: highest, to: last },
          ]
    const at = phases.findIndex(({ end }, i) => step <= end || i === phases.length - 1)
    const { end, from, to } = phases[at]!
    const start = at === 0 ? 0 : phases[at - 1]!.end
    const progress = end === start ? 1 : (step - start) / (end - start)
    return linear ? (to - from) * progress + from : anneal(from, to, progress)
  }
}

/** Smith, "Cyclical learning rates", 2017. */
function cyclic(values: ArgumentValues): RateFunction {
  const up = numberOf(values, 'step_size_up', 2000)
  const total = up + numberOf(values, 'step_size_down', up)
  const ratio = up / total
  const [mode, factor] = [values.mode ?? 'triangular', numberOf(values, 'gamma', 1)]
  return (step, _base, group) => {
    const low = rateOf('CyclicLR', 'base_lr', values.base_lr, group)
    const high = rateOf('CyclicLR', 'max_lr', values.max_lr, group)
    const cycle = Math.floor(1 + step / total)
    const x = 1 + step / total - cycle
    const height = x <= ratio ? x / ratio : (x - 1) / (ratio - 1)
    const shrink = mode === 'exp_range' ? factor ** step : mode === 'triangular2' ? 1 / 2 ** (cycle - 1) : 1
    return low + (high - low) * height * shrink
  }
}

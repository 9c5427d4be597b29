/** What every optimizer offers: it owns the states of its parameters and changes the parameters in place. */
import type { FileLayout } from '../nn/weights.ts'
import { gradientNorm } from '../ops/gradientNorm.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { ArgumentError } from '../util/errors.ts'

/** A tensor to be trained. */
export interface OptimizerParameter {
  /** Names its states in a state dict; unique in an optimizer. */
  readonly name: string
  /** The values that are stepped: float32, or a 16-bit float type for an optimizer with `stochasticRounding`. */
  readonly master: Tensor
  /**
   * A bfloat16 or float16 tensor of the same shape that the model computes with, refreshed by every step. When it has a gradient, that one is
   * used instead of the master's.
   */
  readonly copy?: Tensor | null
  /**
   * How files lay it out, for methods that treat axes differently. Default: 'conv' ([o, kh, kw, i] in memory, [o, i, kh, kw] in
   * files) for four axes, otherwise 'same'.
   */
  readonly layout?: FileLayout
}

/** Parameters that share their hyperparameters; `Settings` replace the optimizer's for this group. */
export type ParameterGroup<Settings> = {
  readonly params: readonly OptimizerParameter[]
  /** For messages and logs. */
  readonly name?: string
} & Partial<Settings>

export interface StepOptions {
  /** One for each group, in order. Default: those given when the optimizer was made. */
  readonly learningRates?: readonly number[]
  /**
   * What `clipGradients` returned: its factor scales the gradients, and when the norm is not finite no tensor is changed. Nobody waits
   * to learn of that, so the step counts as one in corrections that depend on the number of steps.
   */
  readonly clip?: Tensor | null
}

/** A step of an optimizer that is taken parameter by parameter, in any order. */
export interface StepInParts {
  /**
   * Steps one parameter, if it has a gradient, which is left as it is. Once a step at most. Enqueues and returns.
   * @param options.clip as that of `step`, of this gradient alone
   */
  take(parameter: OptimizerParameter, options?: Pick<StepOptions, 'clip'>): void
}

/** What a resumed run needs. The tensors are the optimizer's own: read them, do not dispose them. */
export interface OptimizerState {
  /** The optimizer's name. */
  readonly optimizer: string
  /** Number of steps taken, by parameter name. */
  readonly steps: Readonly<Record<string, number>>
  /** `<parameter>.state1`, `.state2`, and for 8-bit states `.absmax1`, `.absmax2`. */
  readonly tensors: ReadonlyMap<string, Tensor>
  /** Numbers beside the tensors, by `<group>.<name>`, for optimizers that have some. */
  readonly scalars?: Readonly<Record<string, number>>
}

export interface Optimizer {
  readonly name: string
  /** Learning rates of the groups as they were given; schedules multiply them. */
  readonly learningRates: readonly number[]
  /** The gradients there are now. */
  gradients(): readonly Tensor[]
  /** What it trains, so that messages can name a parameter. */
  parameters?(): readonly OptimizerParameter[]
  /** Updates every parameter that has a gradient. Enqueues one native call and returns; gradients are left as they are. */
  step(options?: StepOptions): void
  /**
   * Begins a step of all parameters that is taken one by one; weights and states become the bits that `step` makes of the same gradients.
   * Only optimizers have it whose step of a parameter depends on nothing but that parameter, its gradient and its states. Until
   * the next step begins, nothing but this one changes the parameters.
   */
  beginStep?(options?: Pick<StepOptions, 'learningRates'>): StepInParts
  /** Frees all gradients. */
  zeroGrad(): void
  /** Puts the values to be trained into the parameters. Only methods that evaluate elsewhere have it; they start in this mode. */
  train?(): void
  /** Puts the values to be used or saved into the parameters; `step` is an error until `train`. */
  eval?(): void
  /**
   * For methods that find their own step size or rate: the rate that each group, or the first parameter of it, was last stepped with;
   * before the first step, the one given. Waits for the step.
   */
  effectiveLearningRates?(): Promise<number[]>
  state(): OptimizerState
  /** Takes over the states of an earlier run; 8-bit and float32 states are converted into each other. */
  loadState(state: OptimizerState): void
  /** Frees the states. Parameters stay. */
  dispose(): void
}

/** The gradient of a parameter, wherever the model left it. */
export function gradientOf({ master, copy }: OptimizerParameter): Tensor | null {
  return copy?.grad ?? master.grad
}

/**
 * The norm of all gradients of an optimizer and the factor that limits it to `maxNorm`, for `step({ clip })`. Nothing is read back.
 * @param lossScale what the loss was multiplied by: the norm is that of the gradients without it, and the factor takes it back.
 *   Default 1
 * @returns float32 [2], or null when there are no gradients
 */
export function clipGradients(optimizer: Optimizer, maxNorm = Number.POSITIVE_INFINITY, lossScale = 1): Tensor | null {
  const gradients = optimizer.gradients()
  return gradients.length === 0 ? null : gradientNorm(gradients, maxNorm, lossScale)
}

/** Runs `work` while the parameters hold the values to be used or saved. */
export async function inEvaluation<T>(optimizer: Optimizer, work: () => Promise<T>): Promise<T> {
  optimizer.eval?.()
  try {
    return await work()
  } finally {
    optimizer.train?.()
  }
}

/** Throws for names that repeat and learning rates that do not fit the groups. */
export function expectUniqueNames(
  op: string,
  groups: readonly { readonly params: readonly OptimizerParameter[] }[],
): void {
  const seen = new Set<string>()
  for (const { params } of groups)
    for (const { name } of params) {
      if (seen.has(name)) throw new ArgumentError(op, 'params', 'tensors with different names', `"${name}" twice`)
      seen.add(name)
    }
  if (seen.size === 0) throw new ArgumentError(op, 'groups', 'at least one parameter', 'none')
}

export function expectLearningRates(op: string, rates: readonly number[], groupCount: number): void {
  if (rates.length !== groupCount)
    throw new ArgumentError(op, 'learningRates', `one for each of ${groupCount} groups`, String(rates.length))
  for (const rate of rates)
    if (!(rate >= 0 && Number.isFinite(rate))) throw new ArgumentError(op, 'learningRates', '0 or more', String(rate))
}

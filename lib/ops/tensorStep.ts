import { addon } from '../native/load.ts'
import { markCall } from '../tensor/callSite.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { ArgumentError } from '../util/errors.ts'
import { expectDType, expectFloat, expectShape, expectStepOnOneDevice } from './check.ts'

/** Optimizers that need statistics of whole tensors; states and numbers are listed in native/ops/tensor_step/tensor_step.h. */
export type TensorRule = 'adaFactor' | 'came' | 'stableAdamW'

/** The number of states of each rule. */
export const tensorRuleStates = { adaFactor: 3, came: 5, stableAdamW: 2 } as const satisfies Readonly<
  Record<TensorRule, number>
>

/** A tensor seen as [outer, rows, columns, inner], so that its sums are taken over rows and over columns. */
export type FactoredAxes = readonly [outer: number, rows: number, columns: number, inner: number]

/** Numbers of a rule at most. */
const maxConstants = 12

/** One parameter, its gradient and what the optimizer keeps for it. */
export interface TensorSlot {
  /** Changed in place: float32, bfloat16 or float16. */
  readonly param: Tensor
  /** float32, the shape of `param`. */
  readonly gradient: Tensor
  /** float32, changed in place; null for those that the rule does without. */
  readonly states: readonly (Tensor | null)[]
  /** bfloat16 or float16, the shape of `param`; receives the new parameter as well. */
  readonly copy: Tensor | null
  /** Null: every element has statistics of its own. */
  readonly axes: FactoredAxes | null
  /** Index into the list of numbers. */
  readonly row: number
  /** Where in `rates` the learning rate that the step came to is stored, or null. */
  readonly rateIndex: number | null
  /** Of the random numbers of stochastic rounding, with a seed that all parameters of a step share. Default: its place in the list. */
  readonly stream?: number
}

export interface TensorStepOptions {
  /** What `gradientNorm` returned. Gradients are scaled by its factor; when its norm is not finite nothing is changed. */
  readonly clip?: Tensor | null
  /** float32; receives learning rates. */
  readonly rates?: Tensor | null
  /** Round 16-bit parameters up or down by chance, without bias; the seed must differ from step to step. Default: to nearest. */
  readonly roundingSeed?: bigint | undefined
}

/**
 * One step of an optimizer for all parameters in one native call. `rows` are lists of a rule's numbers, computed in double precision
 * and rounded once.
 * @throws ArgumentError when a slot's tensors do not fit together
 */
export function tensorStep(
  rule: TensorRule,
  slots: readonly TensorSlot[],
  rows: readonly (readonly number[])[],
  { clip = null, rates = null, roundingSeed }: TensorStepOptions = {},
): void {
  const op = 'tensorStep'
  for (const { param, gradient, states, row } of slots) {
    expectFloat(op, 'param', param)
    expectDType(op, 'gradient', gradient, 'float32')
    expectShape(op, 'gradient', gradient, param.shape)
    if (states.length !== tensorRuleStates[rule])
      throw new ArgumentError(op, 'states', `${tensorRuleStates[rule]} for ${rule}`, String(states.length))
    if (rows[row] === undefined) throw new ArgumentError(op, 'row', `less than ${rows.length}`, String(row))
  }
  expectStepOnOneDevice(op, slots, { clip, rates })
  markCall()
  addon.tensorStep(
    rule,
    slots.map((slot) => slot.param.handle),
    slots.map((slot) => slot.gradient.handle),
    slots.flatMap((slot) => slot.states.map((state) => state?.handle ?? null)),
    slots.map((slot) => slot.copy?.handle ?? null),
    slots.map(({ stream }, place) => stream ?? place),
    slots.flatMap((slot) => slot.axes ?? [0, 0, 0, 0]),
    slots.map((slot) => slot.row),
    rows.flatMap((numbers) => Array.from({ length: maxConstants }, (_, i) => numbers[i] ?? 0)),
    slots.map((slot) => slot.rateIndex ?? -1),
    rates?.handle ?? null,
    clip?.handle ?? null,
    roundingSeed !== undefined,
    roundingSeed ?? 0n,
  )
}

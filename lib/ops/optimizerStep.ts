import { addon } from '../native/load.ts'
import { markCall } from '../tensor/callSite.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { ArgumentError } from '../util/errors.ts'
import { expectDType, expectFloat, expectShape, expectStepOnOneDevice } from './check.ts'

/** The states of each rule, in the order of a slot's lists: whether each has a sign, which decides how its 8-bit codes are read. */
export const ruleStates = {
  adamW: [true, false, false],
  lion: [true],
  sgd: [true],
  adEMAMix: [true, true, false],
  nAdam: [true, false],
  adamax: [true, false],
  adagrad: [false],
  adadelta: [false, false],
  rmsProp: [false, true, true],
  rprop: [true, false],
  asgd: [true],
  scheduleFree: [true, false],
  lerp: [true],
} as const satisfies Readonly<Record<string, readonly boolean[]>>

/** What a step does to one element; the formulas stand in native/ops/optimizer_step/optimizer_rules.h. */
export type OptimizerRule = keyof typeof ruleStates

/** Numbers of a rule at most. */
const maxConstants = 12

/** One parameter, its gradient and what the optimizer keeps for it. */
export interface OptimizerSlot {
  /** Changed in place: float32, bfloat16 or float16. */
  readonly param: Tensor
  /** float32, the shape of `param`. */
  readonly gradient: Tensor
  /** float32, or uint8 codes with their scales; null for one that the rule can do without and shall. Changed in place. */
  readonly states: readonly (Tensor | null)[]
  /** The scales of the codes, float32, one for every 256 elements; null for float32 states. */
  readonly absmax: readonly (Tensor | null)[]
  /** bfloat16 or float16, the shape of `param`; receives the new parameter as well. */
  readonly copy: Tensor | null
  /** Index into the list of numbers. */
  readonly row: number
  /** Of the random numbers of stochastic rounding, with a seed that all parameters of a step share. Default: its place in the list. */
  readonly stream?: number
}

/** The numbers that parameters are stepped with, computed in double precision and rounded once to float32. */
export interface OptimizerNumbers {
  /** Coupled weight decay: `g += l2 p` before anything else. Default 0. */
  readonly l2?: number
  /** Decoupled weight decay: the parameter is multiplied by this. Default 1. */
  readonly decay?: number
  /** Bits that the rule knows. Default 0. */
  readonly mode?: number
  /** In the order that the rule states. */
  readonly constants: readonly number[]
}

export interface OptimizerStepOptions {
  /** What `gradientNorm` returned. Gradients are scaled by its factor; when its norm is not finite nothing is changed. */
  readonly clip?: Tensor | null
  /** Decay the stepped parameter instead of the old one. Default false. */
  readonly decayAfter?: boolean
  /** Where a gradient is not finite, clear the states of that element and leave the parameter alone. Default false. */
  readonly skipInvalid?: boolean
  /** Round 16-bit parameters up or down by chance, without bias; the seed must differ from step to step. Default: to nearest. */
  readonly roundingSeed?: bigint | undefined
}

/**
 * One step of an optimizer for all parameters in one native call, one pass over memory.
 * @throws ArgumentError when a slot's tensors do not fit together
 */
export function optimizerStep(
  rule: OptimizerRule,
  slots: readonly OptimizerSlot[],
  rows: readonly OptimizerNumbers[],
  { clip = null, decayAfter = false, skipInvalid = false, roundingSeed }: OptimizerStepOptions = {},
): void {
  const op = 'optimizerStep'
  for (const { param, gradient, states, absmax, row } of slots) {
    expectFloat(op, 'param', param)
    expectDType(op, 'gradient', gradient, 'float32')
    expectShape(op, 'gradient', gradient, param.shape)
    for (const list of [states, absmax])
      if (list.length !== ruleStates[rule].length)
        throw new ArgumentError(op, 'states', `${ruleStates[rule].length} for ${rule}`, String(list.length))
    if (rows[row] === undefined) throw new ArgumentError(op, 'row', `less than ${rows.length}`, String(row))
  }
  expectStepOnOneDevice(op, slots, { clip })
  markCall()
  addon.optimizerStep(
    rule,
    slots.map((slot) => slot.param.handle),
    slots.map((slot) => slot.gradient.handle),
    slots.flatMap((slot) => slot.states.map((state) => state?.handle ?? null)),
    slots.flatMap((slot) => slot.absmax.map((scales) => scales?.handle ?? null)),
    slots.map((slot) => slot.copy?.handle ?? null),
    slots.map(({ stream }, place) => stream ?? place),
    slots.map((slot) => slot.row),
    rows.flatMap(({ l2 = 0, decay = 1, mode = 0, constants }) => [
      l2,
      decay,
      mode,
      ...Array.from({ length: maxConstants }, (_, i) => constants[i] ?? 0),
    ]),
    clip?.handle ?? null,
    decayAfter,
    skipInvalid,
    roundingSeed !== undefined,
    roundingSeed ?? 0n,
  )
}

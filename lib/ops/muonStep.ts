import { addon } from '../native/load.ts'
import { markCall } from '../tensor/callSite.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { ArgumentError } from '../util/errors.ts'
import { expectDType, expectFloat, expectShape, expectStepOnOneDevice } from './check.ts'

/** One matrix, its gradient and its momentum. */
export interface MuonSlot {
  /** Changed in place: float32, bfloat16 or float16; a tensor of any shape is a matrix of its first axis by all others. */
  readonly param: Tensor
  /** float32, the shape of `param`. */
  readonly gradient: Tensor
  /** float32, the shape of `param`, changed in place. */
  readonly momentum: Tensor
  /** bfloat16 or float16, the shape of `param`; receives the new parameter as well. */
  readonly copy: Tensor | null
  /** Share of the momentum that is kept; the gradient gets the rest. */
  readonly keep: number
  /** Step along the momentum that comes next instead of the present one. */
  readonly nesterov: boolean
  /** The parameter is multiplied by this first. */
  readonly decay: number
  /** The orthogonal matrix is multiplied by this and taken away. */
  readonly rate: number
  /** Of the random numbers of stochastic rounding, with a seed that all parameters of a step share. Default: its place in the list. */
  readonly stream?: number
}

export interface MuonStepOptions {
  /** Steps of Newton and Schulz' iteration. Default 5. */
  readonly steps?: number
  /** Keep the iteration's matrices in bfloat16, as the published code does, instead of float32. Default false. */
  readonly half?: boolean
  /** What `gradientNorm` returned. Gradients are scaled by its factor; when its norm is not finite nothing is changed. */
  readonly clip?: Tensor | null
  /** Round 16-bit parameters up or down by chance, without bias; the seed must differ from step to step. Default: to nearest. */
  readonly roundingSeed?: bigint | undefined
}

/**
 * One step of Muon for all matrices in one native call.
 * @throws ArgumentError when a slot's tensors do not fit together
 */
export function muonStep(
  slots: readonly MuonSlot[],
  { steps = 5, half = false, clip = null, roundingSeed }: MuonStepOptions = {},
): void {
  const op = 'muonStep'
  for (const { param, gradient, momentum } of slots) {
    if (param.rank < 2 || param.size === 0)
      throw new ArgumentError(op, 'param', 'a matrix, or a tensor of more axes', String(param))
    for (const [name, x] of Object.entries({ param, gradient, momentum })) {
      if (x === param) expectFloat(op, name, x)
      else expectDType(op, name, x, 'float32')
      expectShape(op, name, x, param.shape)
    }
  }
  expectStepOnOneDevice(
    op,
    slots.map((slot) => ({ ...slot, states: [slot.momentum] })),
    { clip },
  )
  markCall()
  addon.muonStep(
    slots.map((slot) => slot.param.handle),
    slots.map((slot) => slot.gradient.handle),
    slots.map((slot) => slot.momentum.handle),
    slots.map((slot) => slot.copy?.handle ?? null),
    slots.map(({ stream }, place) => stream ?? place),
    slots.flatMap(({ param }) => [param.dim(0), param.size / param.dim(0)]),
    slots.flatMap(({ keep, nesterov, decay, rate }) => [keep, 1 - keep, nesterov ? 1 : 0, decay, rate]),
    steps,
    half,
    clip?.handle ?? null,
    roundingSeed !== undefined,
    roundingSeed ?? 0n,
  )
}

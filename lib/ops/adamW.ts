import { addon } from '../native/load.ts'
import { markCall } from '../tensor/callSite.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { ArgumentError } from '../util/errors.ts'
import { expectDType, expectShape } from './check.ts'

/** The numbers a group of parameters is stepped with. */
export interface AdamWHyperparameters {
  readonly learningRate: number
  readonly beta1: number
  readonly beta2: number
  readonly eps: number
  readonly weightDecay: number
}

/** One parameter, its gradient and what the optimizer keeps for it. */
export interface AdamWSlot {
  /** float32, changed in place. */
  readonly param: Tensor
  /** float32, the shape of `param`. */
  readonly gradient: Tensor
  /** First and second moment: float32, or uint8 codes with their scales. Changed in place. */
  readonly state1: Tensor
  readonly state2: Tensor
  readonly absmax1: Tensor | null
  readonly absmax2: Tensor | null
  /** bfloat16, the shape of `param`; receives the new parameter as well. */
  readonly copy: Tensor | null
  /** Index into the list of hyperparameters. */
  readonly group: number
  /** Number of this step, from 1. */
  readonly step: number
}

export interface AdamWStepOptions {
  /** What `gradientNorm` returned. Gradients are scaled by its factor; when its norm is not finite nothing is changed. */
  readonly clip?: Tensor | null
  /** Decay the stepped parameter instead of the old one. Default false. */
  readonly decayAfter?: boolean
  /** Where a gradient is not finite, clear the states of that element and leave the parameter alone. Default false. */
  readonly skipInvalid?: boolean
}

/**
 * One step of AdamW (Loshchilov and Hutter, "Decoupled weight decay regularization", 2019) for all parameters in one native call:
 * `p = (1 - lr decay) p - lr (m / k1) / (sqrt(v) / k2 + eps)`, `k1 = 1 - beta1^t`, `k2 = sqrt(1 - beta2^t)`.
 */
export function adamWStep(
  slots: readonly AdamWSlot[],
  groups: readonly AdamWHyperparameters[],
  { clip = null, decayAfter = false, skipInvalid = false }: AdamWStepOptions = {},
): void {
  for (const { param, gradient, group } of slots) {
    expectDType('adamW', 'param', param, 'float32')
    expectDType('adamW', 'gradient', gradient, 'float32')
    expectShape('adamW', 'gradient', gradient, param.shape)
    if (groups[group] === undefined)
      throw new ArgumentError('adamW', 'group', `less than ${groups.length}`, String(group))
  }
  markCall()
  addon.adamWStep(
    slots.map((slot) => slot.param.handle),
    slots.map((slot) => slot.gradient.handle),
    slots.map((slot) => slot.state1.handle),
    slots.map((slot) => slot.state2.handle),
    slots.map((slot) => slot.absmax1?.handle ?? null),
    slots.map((slot) => slot.absmax2?.handle ?? null),
    slots.map((slot) => slot.copy?.handle ?? null),
    slots.map((slot) => slot.group),
    slots.map((slot) => slot.step),
    groups.flatMap(({ learningRate, beta1, beta2, eps, weightDecay }) => [
      learningRate,
      beta1,
      beta2,
      eps,
      weightDecay,
    ]),
    clip?.handle ?? null,
    decayAfter,
    skipInvalid,
  )
}

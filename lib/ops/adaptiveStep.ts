import { addon } from '../native/load.ts'
import { markCall } from '../tensor/callSite.ts'
import { tensor } from '../tensor/create.ts'
import type { DeviceName, Tensor } from '../tensor/tensor.ts'
import { ArgumentError } from '../util/errors.ts'
import { expectDType, expectFloat, expectShape } from './check.ts'

/**
 * Number of states of each rule, in the order of a slot's list. The formulas stand in
 * native/ops/adaptive_step/adaptive_rules.h.
 */
export const adaptiveRuleStates = {
  /** m, v, s */
  dAdaptAdam: 3,
  /** m, v, s */
  dAdaptAdamPreprint: 3,
  /** The sum of squared gradients, s, the first parameter. */
  dAdaptAdaGrad: 3,
  /** m, its difference's, v, s, the last gradient (NaN before there is one). */
  dAdaptAdan: 5,
  /** As dAdaptAdan. */
  dAdaptAdanIP: 5,
  /** m, s */
  dAdaptLion: 2,
  /** s, the first parameter. */
  dAdaptSgd: 2,
  /** m (null with beta1 0), v, s, the first parameter. The last two may be slices. */
  prodigy: 4,
} as const

/** What a learning-rate-free step does. */
export type AdaptiveRule = keyof typeof adaptiveRuleStates

/** One parameter, its gradient and what the optimizer keeps for it. */
export interface AdaptiveSlot {
  /** Changed in place: float32, bfloat16 or float16. */
  readonly param: Tensor
  /** float32, the shape of `param`. */
  readonly gradient: Tensor
  /** float32, changed in place; null for one that the rule can do without and shall. */
  readonly states: readonly (Tensor | null)[]
  /** bfloat16 or float16, the shape of `param`; receives the new parameter as well. */
  readonly copy: Tensor | null
  /** Index into the list of groups. */
  readonly row: number
  /** Never stepped before: the state that holds the first parameter is filled. */
  readonly fresh: boolean
}

/** What parameters of a group have of their own. */
export interface AdaptiveGroup {
  /** The group's learning rate as a share of the largest one. Not 0. */
  readonly factor: number
  readonly weightDecay: number
  readonly eps: number
}

/** What holds for all groups. A rule reads those that it knows. */
export interface AdaptiveSettings {
  /** The largest learning rate of all groups. */
  readonly learningRate: number
  readonly beta1: number
  readonly beta2: number
  readonly beta3: number
  /** d grows by this factor at most. */
  readonly growthRate: number
  readonly d0: number
  readonly dCoef: number
  readonly momentum: number
  /** Weight decay acts on the parameter, not on the gradient. */
  readonly decouple: boolean
  readonly useBiasCorrection: boolean
  readonly safeguardWarmup: boolean
  readonly noProx: boolean
  /** States of Prodigy keep every slice-th element. */
  readonly sliceP: number
}

/** What an optimizer knows about its whole model. */
export interface AdaptiveScalars {
  /** The step size found so far, before the learning rate. */
  readonly d: number
  /** Prodigy's largest estimate. */
  readonly dMax: number
  /** The weighted numerator, or the weighted squared gradients. */
  readonly weighted: number
  /** Steps that counted. */
  readonly k: number
  /** Norm of the first gradients: D-Adapt SGD. */
  readonly firstNorm: number
  /** Running sums of D-Adapt AdaGrad. */
  readonly sksq: number
  readonly skl1: number
  /** Prodigy's last denominator. */
  readonly denominator: number
}

const scalarNames = ['d', 'dMax', 'weighted', 'k', 'firstNorm', 'sksq', 'skl1', 'denominator'] as const

/** Scalars before the first step: int64 [8], the bits of float64 numbers, for which there is no dtype. */
export function adaptiveScalars(d0: number, device: DeviceName = 'cpu'): Tensor {
  const values = new Float64Array(scalarNames.length)
  values[0] = d0
  values[1] = d0
  return tensor(new BigInt64Array(values.buffer), [values.length], { device })
}

/** The numbers behind scalars, once the steps enqueued before have run. */
export async function readAdaptiveScalars(scalars: Tensor): Promise<AdaptiveScalars> {
  const bits = (await scalars.read()) as BigInt64Array
  const values = new Float64Array(bits.buffer, bits.byteOffset, bits.length)
  const [d, dMax, weighted, k, firstNorm, sksq, skl1, denominator] = values as unknown as number[]
  return { d, dMax, weighted, k, firstNorm, sksq, skl1, denominator } as AdaptiveScalars
}

export interface AdaptiveStepOptions {
  /** What `gradientNorm` returned. Gradients are scaled by its factor; when its norm is not finite nothing is changed. */
  readonly clip?: Tensor | null
  /** Round 16-bit parameters up or down by chance, without bias; the seed must differ from step to step. Default: to nearest. */
  readonly roundingSeed?: bigint | undefined
}

/**
 * One step of a learning-rate-free optimizer for all parameters in one native call: two passes over memory, and between them the
 * estimate of the step size, which stays on the device. Steps whose gradients have been zero so far change no parameter and do not
 * count.
 * @param scalars what `adaptiveScalars` made, changed in place
 * @throws ArgumentError when a slot's tensors do not fit together
 */
export function adaptiveStep(
  rule: AdaptiveRule,
  slots: readonly AdaptiveSlot[],
  groups: readonly AdaptiveGroup[],
  settings: AdaptiveSettings,
  scalars: Tensor,
  { clip = null, roundingSeed }: AdaptiveStepOptions = {},
): void {
  const op = 'adaptiveStep'
  for (const { param, gradient, states, row } of slots) {
    expectFloat(op, 'param', param)
    expectDType(op, 'gradient', gradient, 'float32')
    expectShape(op, 'gradient', gradient, param.shape)
    if (states.length !== adaptiveRuleStates[rule])
      throw new ArgumentError(op, 'states', `${adaptiveRuleStates[rule]} for ${rule}`, String(states.length))
    if (groups[row] === undefined) throw new ArgumentError(op, 'row', `less than ${groups.length}`, String(row))
  }
  expectDType(op, 'scalars', scalars, 'int64')
  expectShape(op, 'scalars', scalars, [scalarNames.length])
  const { learningRate, beta1, beta2, beta3, growthRate, d0, dCoef, momentum, sliceP } = settings
  const { decouple, useBiasCorrection, safeguardWarmup, noProx } = settings
  const switches = [decouple, useBiasCorrection, safeguardWarmup, noProx]
  markCall()
  addon.adaptiveStep(
    rule,
    slots.map((slot) => slot.param.handle),
    slots.map((slot) => slot.gradient.handle),
    slots.flatMap((slot) => slot.states.map((state) => state?.handle ?? null)),
    slots.map((slot) => slot.copy?.handle ?? null),
    slots.map((slot) => slot.row),
    slots.map((slot) => Number(slot.fresh)),
    groups.flatMap(({ factor, weightDecay, eps }) => [factor, weightDecay, eps]),
    [learningRate, beta1, beta2, beta3, growthRate, d0, dCoef, momentum],
    switches.reduce((bits, on, i) => bits | (Number(on) << i), 0),
    sliceP,
    scalars.handle,
    clip?.handle ?? null,
    roundingSeed !== undefined,
    roundingSeed ?? 0n,
  )
}

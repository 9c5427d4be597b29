/** States of optimizers on their way into and out of files: 8-bit and float32 ones are converted into each other. */
import { copyInto } from '../ops/accumulate.ts'
import { dequantizeBlockwise, quantizeBlockwise } from '../ops/quantizeBlockwise.ts'
import { scope } from '../tensor/scope.ts'
import { formatShape, sameShape } from '../tensor/shape.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { ArgumentError } from '../util/errors.ts'

/** One state of one parameter. */
export interface MomentTensors {
  /** float32, or uint8 codes. */
  readonly state: Tensor
  /** The scales of the codes. */
  readonly absmax: Tensor | null
}

/**
 * @param coded whether it may be 8-bit codes
 * @throws ArgumentError when `tensors` lack `key`, or hold it in another shape or without its scales
 */
export function expectStored(
  op: string,
  tensors: ReadonlyMap<string, Tensor>,
  key: string,
  like: Tensor,
  coded: boolean,
): void {
  const stored = tensors.get(key)
  const fits = stored?.dtype === 'float32' || (coded && stored?.dtype === 'uint8')
  if (!stored || !sameShape(stored.shape, like.shape) || !fits)
    throw new ArgumentError(
      op,
      'state',
      `with ${key} as ${coded ? 'uint8 or ' : ''}float32 ${formatShape(like.shape)}`,
      stored ? String(stored) : 'a state without it',
    )
  if (stored.dtype === 'uint8' && !tensors.has(key.replace(/state(?=\d+$)/, 'absmax')))
    throw new ArgumentError(op, 'state', `with the scales of ${key}`, 'a state without them')
}

/** @throws ArgumentError when `scalars` lack the number `key` */
export function expectScalar(op: string, scalars: Readonly<Record<string, number>>, key: string): number {
  const value = scalars[key]
  if (value === undefined) throw new ArgumentError(op, 'state', `with the number ${key}`, 'a state without it')
  return value
}

/** Copies a stored moment into one of ours, which may be of the other kind. */
export function restoreMoment(ours: MomentTensors, stored: MomentTensors, signed: boolean): void {
  scope(() => {
    if (stored.state.dtype === ours.state.dtype) {
      copyInto(ours.state, stored.state)
      if (ours.absmax && stored.absmax) copyInto(ours.absmax, stored.absmax)
    } else if (ours.absmax) {
      const { codes, absmax } = quantizeBlockwise(stored.state, { signed })
      copyInto(ours.state, codes)
      copyInto(ours.absmax, absmax)
    } else {
      copyInto(ours.state, dequantizeBlockwise({ codes: stored.state, absmax: stored.absmax! }, { signed }))
    }
  })
}

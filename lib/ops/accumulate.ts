/** Changes in place: for gradients and parameters, outside the tape. Each returns nothing and never waits. */
import { addon } from '../native/load.ts'
import { markCall } from '../tensor/callSite.ts'
import { expectSameDevice } from '../tensor/device.ts'
import { isFloat } from '../tensor/dtype.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { ArgumentError } from '../util/errors.ts'
import { expectFloat, expectShape } from './check.ts'

function expectPacked(op: string, name: string, x: Tensor): void {
  if (!x.contiguous) throw new ArgumentError(op, name, 'contiguous (call contiguous(x))', 'a strided view')
}

function expectPair(op: string, y: Tensor, x: Tensor): void {
  expectShape(op, 'x', x, y.shape)
  expectPacked(op, 'y', y)
  expectPacked(op, 'x', x)
}

/** `y += x` for float tensors of one shape; the sum is rounded to the dtype of `y`. */
export function accumulate(y: Tensor, x: Tensor): void {
  expectFloat('accumulate', 'y', y)
  expectFloat('accumulate', 'x', x)
  expectPair('accumulate', y, x)
  expectSameDevice('accumulate', 'y', y, 'x', x)
  markCall()
  addon.accumulate(y.handle, x.handle)
}

/**
 * `y = x` for tensors of one shape; float types are converted, others must agree. The two may be on different devices: this is how
 * tensors get from one to another.
 */
export function copyInto(y: Tensor, x: Tensor): void {
  if (x.dtype !== y.dtype && !(isFloat(x.dtype) && isFloat(y.dtype)))
    throw new ArgumentError('copyInto', 'x', `${y.dtype} like y, or both float types`, x.dtype)
  expectPair('copyInto', y, x)
  markCall()
  addon.copyInto(y.handle, x.handle)
}

/** `y *= factor`. A factor of 0 clears the tensor, NaN included. */
export function scaleInPlace(y: Tensor, factor: number): void {
  expectFloat('scaleInPlace', 'y', y)
  expectPacked('scaleInPlace', 'y', y)
  if (!Number.isFinite(factor)) throw new ArgumentError('scaleInPlace', 'factor', 'a finite number', String(factor))
  markCall()
  addon.scaleInPlace(y.handle, factor)
}

import { addon } from '../native/load.ts'
import { formatShape, packedStrides, type Shape, sameShape } from '../tensor/shape.ts'
import { type Tensor, wrap } from '../tensor/tensor.ts'
import { ArgumentError } from '../util/errors.ts'
import { expectFloat } from './check.ts'

/** Checks that `b` equals `a` in shape, or has axes of size 1 (or fewer leading axes) where `a` has others. */
export function expectBroadcast(op: string, a: Shape, b: Shape): void {
  const offset = a.length - b.length
  const fits = offset >= 0 && b.every((size, axis) => size === 1 || size === a[axis + offset])
  if (!fits) throw new ArgumentError(op, 'b', `broadcastable to ${formatShape(a)}`, formatShape(b))
}

/** The argument checks of add, sub and mul. */
export function expectOperands(op: string, a: Tensor, b: Tensor): void {
  expectFloat(op, 'a', a)
  expectFloat(op, 'b', b)
  expectBroadcast(op, a.shape, b.shape)
  if (b.tracked && !sameShape(a.shape, b.shape)) expectFloat(op, 'a', a)
}

/**
 * The gradient of an operand that was broadcast: the sum of `dy`, times `factor` where given, over the axes along which `b` was repeated.
 * @param b only its shape and dtype are used
 * @returns a tensor with the shape and dtype of `b`
 */
export function reduceToOperand(dy: Tensor, b: Tensor, factor: Tensor | null = null): Tensor {
  const offset = dy.rank - b.rank
  const axes = dy.shape.map((_, axis) => axis).filter((axis) => axis < offset || b.shape[axis - offset] === 1)
  if (sameShape(dy.shape, b.shape)) {
    const product = factor ? wrap(addon.addForward(dy.handle, factor.handle, 2)) : dy
    return b.dtype === dy.dtype ? product : wrap(addon.castForward(product.handle, b.dtype))
  }
  const sum = wrap(addon.reduceForward(dy.handle, factor?.handle ?? null, axes, 1))
  const typed = b.dtype === 'float32' ? sum : wrap(addon.castForward(sum.handle, b.dtype))
  return wrap(addon.view(typed.handle, b.shape, packedStrides(b.shape), 0))
}

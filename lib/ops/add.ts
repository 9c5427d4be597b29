import { defineOp } from '../autograd/defineOp.ts'
import { addon } from '../native/load.ts'
import { formatShape, type Shape, sameShape } from '../tensor/shape.ts'
import { type Tensor, wrap } from '../tensor/tensor.ts'
import { ArgumentError } from '../util/errors.ts'
import { expectFloat } from './check.ts'

/** Checks that `b` equals `a` in shape, or has axes of size 1 (or fewer leading axes) where `a` has others. */
export function expectBroadcast(op: string, a: Shape, b: Shape): void {
  const offset = a.length - b.length
  const fits = offset >= 0 && b.every((size, axis) => size === 1 || size === a[axis + offset])
  if (!fits) throw new ArgumentError(op, 'b', `broadcastable to ${formatShape(a)}`, formatShape(b))
}

/**
 * `a + b`. `b` has the shape of `a`, or axes of size 1 (or fewer leading axes) along which it is repeated.
 * @returns a tensor with the shape and dtype of `a`
 */
export const add = defineOp<readonly [a: Tensor, b: Tensor], readonly [], Record<never, never>>('add', {
  inputs: ['a', 'b'],
  check([a, b]) {
    expectFloat('add', 'a', a)
    expectFloat('add', 'b', b)
    expectBroadcast('add', a.shape, b.shape)
    if (b.tracked && !sameShape(a.shape, b.shape))
      throw new ArgumentError(
        'add',
        'b',
        `of shape ${formatShape(a.shape)} where its gradient is wanted`,
        formatShape(b.shape),
      )
  },
  forward: ([a, b], _options, save) => {
    save()
    return wrap(addon.addForward(a.handle, b.handle, 0))
  },
  backward: (dy) => [dy, dy],
})

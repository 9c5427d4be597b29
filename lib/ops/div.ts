import { defineOp } from '../autograd/defineOp.ts'
import { addon } from '../native/load.ts'
import { type Tensor, wrap } from '../tensor/tensor.ts'
import { expectOperands, reduceToOperand } from './broadcast.ts'

/**
 * `a / b`, element by element. `b` has the shape of `a`, or axes of size 1 (or fewer leading axes) along which it is repeated.
 * @returns a tensor with the shape and dtype of `a`
 */
export const div = defineOp<
  readonly [a: Tensor, b: Tensor],
  readonly [a: Tensor | null, b: Tensor],
  Record<never, never>
>('div', {
  inputs: ['a', 'b'],
  check([a, b]) {
    expectOperands('div', a, b)
  },
  forward([a, b], _options, save, needs) {
    save(needs[1] ? a : null, b)
    return wrap(addon.addForward(a.handle, b.handle, 3))
  },
  backward(dy, [a, b], _options, needs) {
    const share = wrap(addon.addForward(dy.handle, b.handle, 3))
    if (!needs[1] || a === null) return [share, null]
    // d(a / b) / db = -(a / b) / b
    const negated = wrap(addon.scaleForward(share.handle, -1))
    const ratio = wrap(addon.addForward(a.handle, b.handle, 3))
    return [needs[0] ? share : null, reduceToOperand(negated, b, ratio)]
  },
})

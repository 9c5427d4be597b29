import { defineOp } from '../autograd/defineOp.ts'
import { addon } from '../native/load.ts'
import { type Tensor, wrap } from '../tensor/tensor.ts'
import { expectOperands, reduceToOperand } from './broadcast.ts'

/**
 * `a * b`, element by element. `b` has the shape of `a`, or axes of size 1 (or fewer leading axes) along which it is repeated.
 * @returns a tensor with the shape and dtype of `a`
 */
export const mul = defineOp<
  readonly [a: Tensor, b: Tensor],
  readonly [a: Tensor | null, b: Tensor],
  Record<never, never>
>('mul', {
  inputs: ['a', 'b'],
  check([a, b]) {
    expectOperands('mul', a, b)
  },
  forward([a, b], _options, save, needs) {
    save(needs[1] ? a : null, b)
    return wrap(addon.addForward(a.handle, b.handle, 2))
  },
  backward: (dy, [a, b], _options, needs) => [
    needs[0] ? wrap(addon.addForward(dy.handle, b.handle, 2)) : null,
    needs[1] ? reduceToOperand(dy, b, a) : null,
  ],
})

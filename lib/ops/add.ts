import { defineOp } from '../autograd/defineOp.ts'
import { addon } from '../native/load.ts'
import { type Tensor, wrap } from '../tensor/tensor.ts'
import { expectOperands, reduceToOperand } from './broadcast.ts'
import { saveLikeness } from './likeness.ts'

/**
 * `a + b`. `b` has the shape of `a`, or axes of size 1 (or fewer leading axes) along which it is repeated.
 * @returns a tensor with the shape and dtype of `a`
 */
export const add = defineOp<readonly [a: Tensor, b: Tensor], readonly [b: Tensor], Record<never, never>>('add', {
  inputs: ['a', 'b'],
  check([a, b]) {
    expectOperands('add', a, b)
  },
  forward([a, b], _options, save, needs) {
    saveLikeness(b, needs[1], save)
    return wrap(addon.addForward(a.handle, b.handle, 0))
  },
  backward: (dy, [b], _options, needs) => [needs[0] ? dy : null, needs[1] ? reduceToOperand(dy, b) : null],
})

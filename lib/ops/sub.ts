import { defineOp } from '../autograd/defineOp.ts'
import { addon } from '../native/load.ts'
import { type Tensor, wrap } from '../tensor/tensor.ts'
import { expectOperands, reduceToOperand } from './broadcast.ts'
import { saveLikeness } from './likeness.ts'

/**
 * `a - b`. `b` has the shape of `a`, or axes of size 1 (or fewer leading axes) along which it is repeated.
 * @returns a tensor with the shape and dtype of `a`
 */
export const sub = defineOp<readonly [a: Tensor, b: Tensor], readonly [b: Tensor], Record<never, never>>('sub', {
  inputs: ['a', 'b'],
  check([a, b]) {
    expectOperands('sub', a, b)
  },
  forward([a, b], _options, save, needs) {
    saveLikeness(b, needs[1], save)
    return wrap(addon.addForward(a.handle, b.handle, 1))
  },
  backward(dy, [b], _options, needs) {
    const db = needs[1] ? wrap(addon.scaleForward(reduceToOperand(dy, b).handle, -1)) : null
    return [needs[0] ? dy : null, db]
  },
})

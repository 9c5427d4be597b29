import { defineOp } from '../autograd/defineOp.ts'
import { addon } from '../native/load.ts'
import { type Tensor, wrap } from '../tensor/tensor.ts'
import { expectFloat } from './check.ts'

/**
 * `x s(x)`, s the logistic function (also called swish). Element by element.
 * @returns a tensor like `x`
 */
export const silu = defineOp<readonly [x: Tensor], readonly [x: Tensor], Record<never, never>>('silu', {
  inputs: ['x'],
  check([x]) {
    expectFloat('silu', 'x', x)
  },
  forward: ([x], _options, save) => {
    save(x)
    return wrap(addon.activationForward(x.handle, 0))
  },
  backward: (dy, [x]) => [wrap(addon.activationBackward(dy.handle, x.handle, 0))],
})

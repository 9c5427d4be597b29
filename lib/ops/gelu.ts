import { defineOp } from '../autograd/defineOp.ts'
import { addon } from '../native/load.ts'
import { type Tensor, wrap } from '../tensor/tensor.ts'
import { expectFloat } from './check.ts'

/**
 * `x Phi(x)`, Phi the standard normal distribution function (the erf form; Hendrycks and Gimpel, 2016). Element by element.
 * @returns a tensor like `x`
 */
export const gelu = defineOp<readonly [x: Tensor], readonly [x: Tensor], Record<never, never>>('gelu', {
  inputs: ['x'],
  check([x]) {
    expectFloat('gelu', 'x', x)
  },
  forward: ([x], _options, save) => {
    save(x)
    return wrap(addon.activationForward(x.handle, 1))
  },
  backward: (dy, [x]) => [wrap(addon.activationBackward(dy.handle, x.handle, 1))],
})

import { defineOp } from '../autograd/defineOp.ts'
import { addon } from '../native/load.ts'
import { type Tensor, wrap } from '../tensor/tensor.ts'
import { expectFloat } from './check.ts'

/**
 * `x s(1.702 x)`, s the logistic function: the activation of CLIP. Element by element.
 * @returns a tensor like `x`
 */
export const quickGelu = defineOp<readonly [x: Tensor], readonly [x: Tensor], Record<never, never>>('quickGelu', {
  inputs: ['x'],
  check([x]) {
    expectFloat('quickGelu', 'x', x)
  },
  forward: ([x], _options, save) => {
    save(x)
    return wrap(addon.activationForward(x.handle, 2))
  },
  backward: (dy, [x]) => [wrap(addon.activationBackward(dy.handle, x.handle, 2))],
})

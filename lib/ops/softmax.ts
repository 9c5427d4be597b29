import { defineOp } from '../autograd/defineOp.ts'
import { addon } from '../native/load.ts'
import { type Tensor, wrap } from '../tensor/tensor.ts'
import { expectFloat, expectRankAtLeast } from './check.ts'

/**
 * Softmax along the last axis: `exp(x - max(x)) / sum(exp(x - max(x)))`, computed in float32 whatever the dtype.
 * @returns a tensor with the shape and dtype of `x`
 */
export const softmax = defineOp<readonly [x: Tensor], readonly [y: Tensor], Record<never, never>>('softmax', {
  inputs: ['x'],
  check([x]) {
    expectFloat('softmax', 'x', x)
    expectRankAtLeast('softmax', 'x', x, 1)
  },
  forward([x], _options, save) {
    const y = wrap(addon.softmaxForward(x.handle))
    save(y)
    return y
  },
  backward: (dy, [y]) => [wrap(addon.softmaxBackward(dy.handle, y.handle))],
})

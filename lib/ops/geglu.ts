import { defineOp } from '../autograd/defineOp.ts'
import { addon } from '../native/load.ts'
import { type Tensor, wrap } from '../tensor/tensor.ts'
import { expectDivisible, expectFloat, expectRankAtLeast } from './check.ts'

/**
 * `value * gelu(gate)`, where `x` holds the value in the first half of its last axis and the gate in the second (Shazeer, "GLU variants
 * improve Transformer", 2020).
 * @param x [..., 2h]
 * @returns [..., h]
 */
export const geglu = defineOp<readonly [x: Tensor], readonly [x: Tensor], Record<never, never>>('geglu', {
  inputs: ['x'],
  check([x]) {
    expectFloat('geglu', 'x', x)
    expectRankAtLeast('geglu', 'x', x, 1)
    expectDivisible('geglu', 'last axis of x', x.dim(-1), 'two', 2)
  },
  forward: ([x], _options, save) => {
    save(x)
    return wrap(addon.gegluForward(x.handle))
  },
  backward: (dy, [x]) => [wrap(addon.gegluBackward(dy.handle, x.handle))],
})

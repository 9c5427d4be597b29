import { defineOp } from '../autograd/defineOp.ts'
import { addon } from '../native/load.ts'
import { formatShape, sameShape } from '../tensor/shape.ts'
import { type Tensor, wrap } from '../tensor/tensor.ts'
import { ArgumentError } from '../util/errors.ts'
import { expectDType, expectRankAtLeast } from './check.ts'
import { saveLikeness } from './likeness.ts'
import { channels } from './sliceChannels.ts'

/**
 * The channels of `a` followed by those of `b`.
 * @param a [..., ca], any dtype, strided or not
 * @param b [..., cb], the leading axes and dtype of `a`
 * @returns [..., ca + cb]
 */
export const concatChannels = defineOp<readonly [a: Tensor, b: Tensor], readonly [a: Tensor], Record<never, never>>(
  'concatChannels',
  {
    inputs: ['a', 'b'],
    strided: true,
    check([a, b]) {
      expectRankAtLeast('concatChannels', 'a', a, 1)
      expectDType('concatChannels', 'b', b, a.dtype)
      if (a.rank !== b.rank || !sameShape(a.shape.slice(0, -1), b.shape.slice(0, -1)))
        throw new ArgumentError(
          'concatChannels',
          'b',
          `of shape ${formatShape(a.shape)} but for the last axis`,
          formatShape(b.shape),
        )
    },
    forward([a, b], _options, save, needs) {
      saveLikeness(a, needs[0] || needs[1], save)
      return wrap(addon.concatChannelsForward(a.handle, b.handle))
    },
    backward(dy, [a], _options, needs) {
      const split = a.dim(-1)
      return [needs[0] ? wrap(channels(dy, 0, split)) : null, needs[1] ? wrap(channels(dy, split, dy.dim(-1))) : null]
    },
  },
)

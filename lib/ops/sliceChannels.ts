import { defineOp } from '../autograd/defineOp.ts'
import { addon } from '../native/load.ts'
import { type Tensor, wrap } from '../tensor/tensor.ts'
import { expectRange } from './axis.ts'
import { expectRankAtLeast } from './check.ts'
import { saveLikeness } from './likeness.ts'

export interface SliceChannelsOptions {
  /** First channel kept. */
  readonly start: number
  /** One past the last channel kept. */
  readonly end: number
}

/**
 * The channels [start, end) of the last axis, packed.
 * @param x [..., c], any dtype, strided or not
 * @returns [..., end - start], a copy
 */
export const sliceChannels = defineOp<readonly [x: Tensor], readonly [x: Tensor], SliceChannelsOptions>(
  'sliceChannels',
  {
    inputs: ['x'],
    strided: true,
    check([x], { start, end }) {
      expectRankAtLeast('sliceChannels', 'x', x, 1)
      expectRange('sliceChannels', x.dim(-1), start, end)
    },
    forward([x], { start, end }, save, needs) {
      saveLikeness(x, needs[0], save)
      return wrap(channels(x, start, end))
    },
    backward: (dy, [x], { start }) => [wrap(addon.sliceBackward(dy.handle, x.shape, x.rank - 1, start))],
  },
)

/** @internal A packed copy of some channels. */
export function channels(x: Tensor, start: number, end: number): ReturnType<typeof addon.contiguousForward> {
  const { strides } = x
  const view = addon.view(x.handle, x.shape.with(-1, end - start), strides, start * strides.at(-1)!)
  const packed = addon.contiguousForward(view)
  addon.dispose(view)
  return packed
}

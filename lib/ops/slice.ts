import { defineOp } from '../autograd/defineOp.ts'
import { addon } from '../native/load.ts'
import { type Tensor, wrap } from '../tensor/tensor.ts'
import { expectRange, normaliseAxis } from './axis.ts'
import { saveLikeness } from './likeness.ts'

export interface SliceOptions {
  /** The axis that is cut; negative ones count from the end. */
  readonly axis: number
  /** First index kept. */
  readonly start: number
  /** One past the last index kept. */
  readonly end: number
}

/**
 * The indices [start, end) of one axis, as a strided view: no element moves. Most ops want `contiguous(...)` of it.
 * @param x any dtype, strided or not
 */
export const slice = defineOp<readonly [x: Tensor], readonly [x: Tensor], SliceOptions>('slice', {
  inputs: ['x'],
  strided: true,
  check([x], { axis, start, end }) {
    expectRange('slice', x.shape[normaliseAxis('slice', x.shape, axis)]!, start, end)
  },
  forward([x], { axis, start, end }, save, needs) {
    saveLikeness(x, needs[0], save)
    const at = normaliseAxis('slice', x.shape, axis)
    const { strides } = x
    return wrap(addon.view(x.handle, x.shape.with(at, end - start), strides, start * strides[at]!))
  },
  backward: (dy, [x], { axis, start }) => [
    wrap(addon.sliceBackward(dy.handle, x.shape, normaliseAxis('slice', x.shape, axis), start)),
  ],
})

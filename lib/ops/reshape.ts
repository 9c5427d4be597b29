import { defineOp } from '../autograd/defineOp.ts'
import { addon } from '../native/load.ts'
import { elementCount, formatShape, packedStrides, type Shape } from '../tensor/shape.ts'
import { type Tensor, wrap } from '../tensor/tensor.ts'
import { ArgumentError } from '../util/errors.ts'
import { saveLikeness } from './likeness.ts'

export interface ReshapeOptions {
  /** The new shape; one size may be -1 and follows from the others. */
  readonly shape: Shape
}

function resolved(x: Tensor, shape: Shape): number[] {
  const known = elementCount(shape.filter((size) => size !== -1))
  const sizes = shape.map((size) => (size === -1 ? x.size / known : size))
  const unknown = shape.filter((size) => size === -1).length
  if (unknown > 1 || sizes.some((size) => !Number.isInteger(size) || size < 1) || elementCount(sizes) !== x.size)
    throw new ArgumentError(
      'reshape',
      'shape',
      `of ${x.size} elements like ${formatShape(x.shape)}`,
      formatShape(shape),
    )
  return sizes
}

/**
 * The same elements in another shape, as a view: no element moves.
 * @param x contiguous, any dtype
 */
export const reshape = defineOp<readonly [x: Tensor], readonly [x: Tensor], ReshapeOptions>('reshape', {
  inputs: ['x'],
  check([x], { shape }) {
    resolved(x, shape)
  },
  forward([x], { shape }, save, needs) {
    saveLikeness(x, needs[0], save)
    const sizes = resolved(x, shape)
    return wrap(addon.view(x.handle, sizes, packedStrides(sizes), 0))
  },
  backward: (dy, [x]) => [wrap(addon.view(dy.handle, x.shape, packedStrides(x.shape), 0))],
})

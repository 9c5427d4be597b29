import type { OpDefinition } from '../autograd/defineOp.ts'
import { defineOp } from '../autograd/defineOp.ts'
import { addon } from '../native/load.ts'
import type { Shape } from '../tensor/shape.ts'
import { type Tensor, wrap } from '../tensor/tensor.ts'
import { normaliseAxis } from './axis.ts'
import { expectFloat } from './check.ts'
import { saveLikeness } from './likeness.ts'

export interface ReduceOptions {
  /** Axes to add over, which disappear; negative ones count from the end. Default: all. */
  readonly axes?: readonly number[]
}

type Definition = OpDefinition<readonly [x: Tensor], readonly [x: Tensor], ReduceOptions>

/** @internal sum and mean: one kernel with a factor. */
export function reduceDefinition(op: string, mean: boolean): Definition {
  const axesOf = (shape: Shape, axes: readonly number[] = shape.map((_, axis) => axis)): number[] =>
    [...new Set(axes.map((axis) => normaliseAxis(op, shape, axis)))].sort((a, b) => a - b)
  const factorOf = (shape: Shape, axes: readonly number[]): number =>
    mean ? 1 / axes.reduce((count, axis) => count * shape[axis]!, 1) : 1
  return {
    inputs: ['x'],
    check([x], options) {
      expectFloat(op, 'x', x)
      axesOf(x.shape, options.axes)
    },
    forward([x], options, save, needs) {
      saveLikeness(x, needs[0], save)
      const axes = axesOf(x.shape, options.axes)
      return wrap(addon.reduceForward(x.handle, null, axes, factorOf(x.shape, axes)))
    },
    backward(dy, [x], options) {
      const axes = axesOf(x.shape, options.axes)
      return [wrap(addon.reduceBackward(dy.handle, x.shape, axes, factorOf(x.shape, axes), x.dtype))]
    },
  }
}

/**
 * The sum over some axes, in float32 and in an order that depends on the shape alone.
 * @returns float32, the shape of `x` without the axes
 */
export const sum = defineOp<readonly [x: Tensor], readonly [x: Tensor], ReduceOptions>(
  'sum',
  reduceDefinition('sum', false),
)

import { defineOp } from '../autograd/defineOp.ts'
import type { Handle } from '../native/addon.ts'
import { addon } from '../native/load.ts'
import { type Tensor, wrap } from '../tensor/tensor.ts'
import { ArgumentError } from '../util/errors.ts'
import { normaliseAxis } from './axis.ts'

export interface PermuteOptions {
  /** Axis i of the result is axis `axes[i]` of `x`; negative ones count from the end. */
  readonly axes: readonly number[]
}

function permuted(x: Tensor, axes: readonly number[]): Handle {
  const strides = x.strides
  return addon.view(
    x.handle,
    axes.map((axis) => x.shape[axis]!),
    axes.map((axis) => strides[axis]!),
    0,
  )
}

/**
 * `x` with its axes in another order, as a strided view: no element moves. Most ops want `contiguous(...)` of it.
 * @param x any dtype, strided or not
 */
export const permute = defineOp<readonly [x: Tensor], readonly [], PermuteOptions>('permute', {
  inputs: ['x'],
  strided: true,
  check([x], { axes }) {
    const seen = new Set(axes.map((axis) => normaliseAxis('permute', x.shape, axis)))
    if (seen.size !== x.rank || axes.length !== x.rank)
      throw new ArgumentError('permute', 'axes', `each of the ${x.rank} axes once`, `[${axes.join(', ')}]`)
  },
  forward([x], { axes }, save) {
    save()
    return wrap(
      permuted(
        x,
        axes.map((axis) => normaliseAxis('permute', x.shape, axis)),
      ),
    )
  },
  backward(dy, _saved, { axes }) {
    const inverse: number[] = []
    axes.forEach((axis, i) => {
      inverse[axis < 0 ? axes.length + axis : axis] = i
    })
    return [wrap(addon.contiguousForward(wrap(permuted(dy, inverse)).handle))]
  },
})

import type { Op, OpInputs } from '../../lib/autograd/defineOp.ts'
import { contiguous } from '../../lib/ops/contiguous.ts'
import { packedStrides, type Shape } from '../../lib/tensor/shape.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import { type Array64, array64 } from './float64.ts'

/** The index of element `i` of a packed array, axis by axis. */
export function indexOf(i: number, shape: Shape): number[] {
  const strides = packedStrides(shape)
  return shape.map((size, axis) => Math.floor(i / strides[axis]!) % size)
}

/** An array made element by element from its indices. */
export function generate(shape: Shape, value: (index: readonly number[], i: number) => number): Array64 {
  const y = array64(shape)
  for (let i = 0; i < y.data.length; i++) y.data[i] = value(indexOf(i, shape), i)
  return y
}

/** The element of `x` at `index`. */
export function at(x: Array64, index: readonly number[]): number {
  const strides = packedStrides(x.shape)
  return x.data[index.reduce((offset, k, axis) => offset + k * strides[axis]!, 0)]!
}

/** The element of a broadcast operand that belongs to `index` of the larger one. */
export function atBroadcast(b: Array64, index: readonly number[]): number {
  const offset = index.length - b.shape.length
  return at(
    b,
    b.shape.map((size, axis) => (size === 1 ? 0 : index[axis + offset]!)),
  )
}

/** `op` followed by contiguous, so that a suite can read what an op returns as a view. */
export function packed<Inputs extends OpInputs, Options>(op: Op<Inputs, Options>): Op<Inputs, Options> {
  const call = op as unknown as (...args: unknown[]) => Tensor
  const both = (...args: unknown[]): Tensor => {
    const view = call(...args)
    const y = contiguous(view)
    view.dispose()
    return y
  }
  const { opName, inputNames, differentiable } = op
  return Object.assign(both, { opName, inputNames, differentiable, reference: null }) as unknown as Op<Inputs, Options>
}

/** Cases for add, sub and mul. */
export const operandCases = [
  { name: 'one element', inputs: [{ shape: [1] }, { shape: [1] }], options: {} },
  { name: 'odd length', inputs: [{ shape: [3, 77] }, { shape: [3, 77] }], options: {} },
  { name: 'longer than a task', inputs: [{ shape: [40000] }, { shape: [40000] }], options: {} },
  { name: 'last axis', inputs: [{ shape: [2, 5, 5, 19] }, { shape: [19] }], options: {} },
  { name: 'per sample and channel', inputs: [{ shape: [3, 4, 5, 7] }, { shape: [3, 1, 1, 7] }], options: {} },
  { name: 'per row', inputs: [{ shape: [6, 33] }, { shape: [6, 1] }], options: {} },
  { name: 'alternating axes', inputs: [{ shape: [2, 3, 4, 5] }, { shape: [2, 1, 4, 1] }], options: {} },
  { name: 'one number', inputs: [{ shape: [6, 7] }, { shape: [1] }], options: {} },
  { name: 'float32 with any', inputs: [{ shape: [9, 17] }, { shape: [9, 17], dtype: 'float32' }], options: {} },
  { name: 'float32 vector with any', inputs: [{ shape: [9, 17] }, { shape: [17], dtype: 'float32' }], options: {} },
] as const

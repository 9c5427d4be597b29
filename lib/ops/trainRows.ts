import { defineOp } from '../autograd/defineOp.ts'
import { addon } from '../native/load.ts'
import { packedStrides } from '../tensor/shape.ts'
import { type Tensor, wrap } from '../tensor/tensor.ts'
import { ArgumentError } from '../util/errors.ts'
import { expectRankAtLeast, expectShape } from './check.ts'

export interface TrainRowsOptions {
  /** Index of the first row that trains. */
  readonly start: number
}

/**
 * `whole` as it is; the gradient of some of its rows goes to `rows`, the others get none. No element moves, and none is compared.
 * @param whole [n, ...], contiguous
 * @param rows [u, ...], the rows from `start` on, for instance a view of them
 * @returns a tensor with the memory of `whole`
 */
export const trainRows = defineOp<readonly [whole: Tensor, rows: Tensor], readonly [rows: Tensor], TrainRowsOptions>(
  'trainRows',
  {
    inputs: ['whole', 'rows'],
    check([whole, rows], { start }) {
      expectRankAtLeast('trainRows', 'whole', whole, 1)
      expectShape('trainRows', 'rows', rows, [rows.dim(0), ...whole.shape.slice(1)])
      const last = whole.dim(0) - rows.dim(0)
      if (!(Number.isInteger(start) && start >= 0 && start <= last))
        throw new ArgumentError('trainRows', 'start', `a whole number from 0 to ${last}`, String(start))
    },
    forward([whole, rows], _options, save) {
      save(rows)
      return wrap(addon.view(whole.handle, whole.shape, packedStrides(whole.shape), 0))
    },
    backward(dy, [rows], { start }, needs) {
      if (!needs[1]) return [null, null]
      const strides = packedStrides(rows.shape)
      return [null, wrap(addon.view(dy.handle, rows.shape, strides, start * strides[0]!))]
    },
  },
)

import { defineOp } from '../autograd/defineOp.ts'
import { addon } from '../native/load.ts'
import { type Tensor, wrap } from '../tensor/tensor.ts'
import { expectDType, expectFloat, expectRank } from './check.ts'

/**
 * Rows of a table chosen by number: `y[...] = table[ids[...]]`. Ids outside the table are found when the op runs: reading the result
 * then throws NativeError. The gradient of the table is float32 and has the whole table's size; rows are summed by position.
 * @param ids int32 [...]
 * @param table [rows, width]
 * @returns [..., width] in the table's dtype
 */
export const embedding = defineOp<
  readonly [ids: Tensor, table: Tensor],
  readonly [ids: Tensor, table: Tensor],
  Record<never, never>
>('embedding', {
  inputs: ['ids', 'table'],
  check([ids, table]) {
    expectDType('embedding', 'ids', ids, 'int32')
    expectFloat('embedding', 'table', table)
    expectRank('embedding', 'table', table, 2)
  },
  forward([ids, table], _options, save) {
    save(ids, table)
    return wrap(addon.embeddingForward(ids.handle, table.handle))
  },
  backward: (dy, [ids, table]) => [null, wrap(addon.embeddingBackward(dy.handle, ids.handle, table.dim(0)))],
})

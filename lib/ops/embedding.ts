import { defineOp } from '../autograd/defineOp.ts'
import { addon } from '../native/load.ts'
import { type Tensor, wrap } from '../tensor/tensor.ts'
import { expectDType, expectFloat, expectRank, expectShape } from './check.ts'

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
    expectTable('embedding', ids, table)
  },
  forward([ids, table], _options, save) {
    save(ids, table)
    return wrap(addon.embeddingForward(ids.handle, table.handle, null))
  },
  backward: (dy, [ids, table]) => [null, gradientOf(dy, ids, 0, table)],
})

/**
 * `embedding` with a table in two parts: ids from `table`'s rows on choose rows of `added`. What is added can learn beside a frozen
 * table, of which then nothing is copied and no gradient is made.
 * @param ids int32 [...]
 * @param table [rows, width]
 * @param added [more, width], of the table's dtype
 * @returns [..., width] in the table's dtype
 */
export const extendedEmbedding = defineOp<
  readonly [ids: Tensor, table: Tensor, added: Tensor],
  readonly [ids: Tensor, table: Tensor, added: Tensor],
  Record<never, never>
>('extendedEmbedding', {
  inputs: ['ids', 'table', 'added'],
  check([ids, table, added]) {
    expectTable('extendedEmbedding', ids, table)
    expectDType('extendedEmbedding', 'added', added, table.dtype)
    expectRank('extendedEmbedding', 'added', added, 2)
    expectShape('extendedEmbedding', 'added', added, [added.dim(0), table.dim(1)])
  },
  forward([ids, table, added], _options, save) {
    save(ids, table, added)
    return wrap(addon.embeddingForward(ids.handle, table.handle, added.handle))
  },
  backward: (dy, [ids, table, added], _options, needs) => [
    null,
    needs[1] ? gradientOf(dy, ids, 0, table) : null,
    needs[2] ? gradientOf(dy, ids, table.dim(0), added) : null,
  ],
})

function expectTable(op: string, ids: Tensor, table: Tensor): void {
  expectDType(op, 'ids', ids, 'int32')
  expectFloat(op, 'table', table)
  expectRank(op, 'table', table, 2)
}

/** Of rows the first of which has the id `first`. */
function gradientOf(dy: Tensor, ids: Tensor, first: number, rows: Tensor): Tensor {
  return wrap(addon.embeddingBackward(dy.handle, ids.handle, first, rows.dim(0)))
}

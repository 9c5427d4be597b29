import { defineOp } from '../autograd/defineOp.ts'
import { addon } from '../native/load.ts'
import { type Tensor, wrap } from '../tensor/tensor.ts'
import { expectDType, expectShape } from './check.ts'

/**
 * Every byte replaced by the table's entry for it: `table[x]`. Not differentiable.
 * @param x uint8 of any shape
 * @param table uint8 [256]
 * @returns uint8 of x's shape
 */
export const lookupTable = defineOp<readonly [x: Tensor, table: Tensor], readonly [], Record<never, never>>(
  'lookupTable',
  {
    inputs: ['x', 'table'],
    check([x, table]) {
      expectDType('lookupTable', 'x', x, 'uint8')
      expectDType('lookupTable', 'table', table, 'uint8')
      expectShape('lookupTable', 'table', table, [256])
    },
    forward: ([x, table]) => wrap(addon.lookupTable(x.handle, table.handle)),
    backward: 'none',
  },
)

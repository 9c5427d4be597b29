import { cast } from '../../lib/ops/cast.ts'
import { lookupTable } from '../../lib/ops/lookupTable.ts'
import { scope } from '../../lib/tensor/scope.ts'
import { sampledError } from '../error.ts'
import type { Bench } from '../harness.ts'
import { randomUniform, tensor } from '../tensors.ts'

const side = 512

export const benches: readonly Bench[] = [
  {
    name: `lookupTable ${side}x${side}x3`,
    bytes: 6 * side * side,
    setup() {
      const x = scope(() => cast(randomUniform([side, side, 3], { seed: 1, high: 256 }), { dtype: 'uint8' }))
      const table = tensor(
        Uint8Array.from({ length: 256 }, (_, v) => 255 - v),
        [256],
      )
      const run = () => lookupTable(x, table)
      return { run, error: () => sampledError(run, [x], (values) => (i) => 255 - values[i]!) }
    },
  },
]

import { accumulate } from '../../lib/ops/accumulate.ts'
import { sampledError } from '../error.ts'
import type { Bench } from '../harness.ts'
import { randomNormal } from '../tensors.ts'

const count = 16_000_000

export const benches: readonly Bench[] = [
  {
    name: `accumulate float32 ${count}`,
    bytes: 12 * count,
    setup() {
      const y = randomNormal([count], { seed: 1 })
      const x = randomNormal([count], { seed: 2 })
      const run = () => {
        accumulate(y, x)
        return []
      }
      const sum = () => {
        accumulate(y, x)
        return y
      }
      return { run, error: () => sampledError(sum, [y, x], (y, x) => (i) => y[i]! + x[i]!) }
    },
  },
]

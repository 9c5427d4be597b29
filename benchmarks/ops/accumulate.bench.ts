import { accumulate } from '../../lib/ops/accumulate.ts'
import { randomNormal } from '../../lib/tensor/create.ts'
import type { Bench } from '../harness.ts'

const count = 16_000_000

export const benches: readonly Bench[] = [
  {
    name: `accumulate float32 ${count}`,
    bytes: 12 * count,
    setup() {
      const y = randomNormal([count], { seed: 1 })
      const x = randomNormal([count], { seed: 2 })
      return {
        run() {
          accumulate(y, x)
          return []
        },
      }
    },
  },
]

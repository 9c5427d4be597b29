import { dequantizeBlockwise, quantizeBlockwise } from '../../lib/ops/quantizeBlockwise.ts'
import { randomNormal } from '../../lib/tensor/create.ts'
import type { Bench } from '../harness.ts'

const count = 16_000_000

export const benches: readonly Bench[] = [
  {
    name: `quantizeBlockwise float32 ${count}`,
    bytes: 5 * count,
    setup() {
      const x = randomNormal([count], { seed: 1 })
      return {
        run() {
          const { codes, absmax } = quantizeBlockwise(x)
          return [codes, absmax]
        },
      }
    },
  },
  {
    name: `dequantizeBlockwise float32 ${count}`,
    bytes: 5 * count,
    setup() {
      const quantized = quantizeBlockwise(randomNormal([count], { seed: 1 }))
      return { run: () => dequantizeBlockwise(quantized) }
    },
  },
]

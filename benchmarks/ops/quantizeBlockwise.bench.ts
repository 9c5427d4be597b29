import {
  dequantizeBlockwise,
  QUANTIZATION_BLOCK,
  quantizationMap,
  quantizeBlockwise,
} from '../../lib/ops/quantizeBlockwise.ts'
import { sampledError } from '../error.ts'
import type { Bench } from '../harness.ts'
import { randomNormal } from '../tensors.ts'

const count = 16_000_000

export const benches: readonly Bench[] = [
  {
    name: `quantizeBlockwise float32 ${count}`,
    bytes: 5 * count,
    setup() {
      const x = randomNormal([count], { seed: 1 })
      const run = () => {
        const { codes, absmax } = quantizeBlockwise(x)
        return [codes, absmax]
      }
      const roundTrip = () => {
        const quantized = quantizeBlockwise(x)
        return [dequantizeBlockwise(quantized), quantized.codes, quantized.absmax]
      }
      return { run, error: () => sampledError(roundTrip, [x], (x) => (i) => x[i]!) }
    },
  },
  {
    name: `dequantizeBlockwise float32 ${count}`,
    bytes: 5 * count,
    setup() {
      const x = randomNormal([count], { seed: 1 })
      const quantized = quantizeBlockwise(x)
      const map = quantizationMap()
      const run = () => dequantizeBlockwise(quantized)
      const inputs = [quantized.codes, quantized.absmax, map]
      return {
        run,
        error: () =>
          sampledError(
            run,
            inputs,
            (codes, absmax, map) => (i) => map[codes[i]!]! * absmax[Math.floor(i / QUANTIZATION_BLOCK)]!,
          ),
      }
    },
  },
]

import { concatChannels } from '../../lib/ops/concatChannels.ts'
import { randomNormal } from '../../lib/tensor/create.ts'
import type { Bench } from '../harness.ts'

const shape = [1, 64, 64, 320]

export const benches: readonly Bench[] = [
  {
    name: `concatChannels float32 ${shape.join('x')} twice`,
    bytes: 16 * shape.reduce((a, b) => a * b),
    setup() {
      const a = randomNormal(shape, { seed: 1 })
      const b = randomNormal(shape, { seed: 2 })
      return { run: () => concatChannels(a, b) }
    },
  },
]

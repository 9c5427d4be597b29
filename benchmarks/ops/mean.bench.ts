import { mean } from '../../lib/ops/mean.ts'
import { randomNormal } from '../../lib/tensor/create.ts'
import type { Bench } from '../harness.ts'

const shape = [1, 64, 64, 320]

export const benches: readonly Bench[] = [[0, 1, 2, 3], [1, 2], [3]].map((axes) => ({
  name: `mean float32 ${shape.join('x')} over ${axes.join(' ')}`,
  bytes: 4 * shape.reduce((a, b) => a * b),
  setup() {
    const x = randomNormal(shape, { seed: 1 })
    return { run: () => mean(x, { axes }) }
  },
}))

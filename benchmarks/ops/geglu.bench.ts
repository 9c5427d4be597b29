import { geglu } from '../../lib/ops/geglu.ts'
import { randomNormal } from '../../lib/tensor/create.ts'
import type { Bench } from '../harness.ts'

const shapes = [
  [1, 4096, 2560],
  [1, 256, 10240],
]

export const benches: readonly Bench[] = shapes.map((shape) => ({
  name: `geglu float32 ${shape.join('x')}`,
  bytes: 6 * shape.reduce((a, b) => a * b),
  setup() {
    const x = randomNormal(shape, { seed: 1 })
    return { run: () => geglu(x) }
  },
}))

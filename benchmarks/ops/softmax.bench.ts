import { softmax } from '../../lib/ops/softmax.ts'
import { randomNormal } from '../../lib/tensor/create.ts'
import type { Bench } from '../harness.ts'

const shapes = [
  [1, 8, 1024, 1024],
  [1, 8, 1024, 77],
]

export const benches: readonly Bench[] = shapes.map((shape) => ({
  name: `softmax float32 ${shape.join('x')}`,
  bytes: 8 * shape.reduce((a, b) => a * b),
  setup() {
    const x = randomNormal(shape, { seed: 1 })
    return { run: () => softmax(x) }
  },
}))

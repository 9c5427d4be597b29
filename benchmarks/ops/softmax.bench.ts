import { softmax } from '../../lib/ops/softmax.ts'
import { sampledError, sumOf } from '../error.ts'
import type { Bench } from '../harness.ts'
import { randomNormal } from '../tensors.ts'

const shapes = [
  [1, 8, 1024, 1024],
  [1, 8, 1024, 77],
]

export const benches: readonly Bench[] = shapes.map((shape) => ({
  name: `softmax float32 ${shape.join('x')}`,
  bytes: 8 * shape.reduce((a, b) => a * b),
  setup() {
    const x = randomNormal(shape, { seed: 1 })
    const run = () => softmax(x)
    return {
      run,
      error: () =>
        sampledError(run, [x], (x) => (i) => {
          const size = shape.at(-1)!
          const row = i - (i % size)
          return Math.exp(x[i]!) / sumOf(size, (j) => Math.exp(x[row + j]!))
        }),
    }
  },
}))

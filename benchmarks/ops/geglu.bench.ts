import { geglu } from '../../lib/ops/geglu.ts'
import { exactGelu, sampledError } from '../error.ts'
import type { Bench } from '../harness.ts'
import { randomNormal } from '../tensors.ts'

const shapes = [
  [1, 4096, 2560],
  [1, 256, 10240],
]

export const benches: readonly Bench[] = shapes.map((shape) => ({
  name: `geglu float32 ${shape.join('x')}`,
  bytes: 6 * shape.reduce((a, b) => a * b),
  setup() {
    const x = randomNormal(shape, { seed: 1 })
    const run = () => geglu(x)
    return {
      run,
      error: () =>
        sampledError(run, [x], (x) => (i) => {
          const h = shape.at(-1)! / 2
          const value = 2 * h * Math.floor(i / h) + (i % h)
          return x[value]! * exactGelu(x[value + h]!)
        }),
    }
  },
}))

import { sub } from '../../lib/ops/sub.ts'
import { sampledError } from '../error.ts'
import type { Bench } from '../harness.ts'
import { randomNormal } from '../tensors.ts'

const shapes = [
  [1, 64, 64, 320],
  [1, 16, 16, 1280],
]

export const benches: readonly Bench[] = shapes.map((shape) => {
  const elements = shape.reduce((a, b) => a * b)
  return {
    name: `sub float32 ${shape.join('x')}`,
    bytes: 12 * elements,
    setup() {
      const a = randomNormal(shape, { seed: 1 })
      const b = randomNormal(shape, { seed: 2 })
      const run = () => sub(a, b)
      return { run, error: () => sampledError(run, [a, b], (a, b) => (i) => a[i]! - b[i]!) }
    },
  }
})

import { gelu } from '../../lib/ops/gelu.ts'
import { exactGelu, sampledError } from '../error.ts'
import type { Bench } from '../harness.ts'
import { randomNormal } from '../tensors.ts'

const shapes = [
  [1, 64, 64, 320],
  [4, 64, 64, 960],
]

export const benches: readonly Bench[] = shapes.map((shape) => ({
  name: `gelu float32 ${shape.join('x')}`,
  bytes: 8 * shape.reduce((a, b) => a * b),
  setup() {
    const x = randomNormal(shape, { seed: 1 })
    const run = () => gelu(x)
    return { run, error: () => sampledError(run, [x], (x) => (i) => exactGelu(x[i]!)) }
  },
}))

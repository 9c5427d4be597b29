import { groupNorm } from '../../lib/ops/groupNorm.ts'
import { normaliser, sampledError } from '../error.ts'
import type { Bench } from '../harness.ts'
import { full, randomNormal, zeros } from '../tensors.ts'

const shapes = [
  [1, 64, 64, 320],
  [1, 16, 16, 1280],
  [1, 512, 512, 128],
]

export const benches: readonly Bench[] = shapes.map((shape) => ({
  name: `groupNorm float32 ${shape.join('x')}`,
  bytes: 8 * shape.reduce((a, b) => a * b),
  setup() {
    const c = shape.at(-1)!
    const x = randomNormal(shape, { seed: 1 })
    const weight = full([c], 1)
    const bias = zeros([c])
    const run = () => groupNorm(x, weight, bias, { groups: 32 })
    return {
      run,
      error: () =>
        sampledError(run, [x], (x) => {
          const normalise = normaliser(1e-5)
          const size = c / 32
          return (i) => {
            const first = (i % c) - ((i % c) % size)
            const at = normalise(first, x.length / 32, (j) => x[Math.floor(j / size) * c + first + (j % size)]!)
            return at(x[i]!)
          }
        }),
    }
  },
}))

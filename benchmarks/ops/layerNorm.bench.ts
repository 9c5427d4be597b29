import { layerNorm } from '../../lib/ops/layerNorm.ts'
import { normaliser, sampledError } from '../error.ts'
import type { Bench } from '../harness.ts'
import { full, randomNormal, zeros } from '../tensors.ts'

const shapes = [
  [1, 4096, 320],
  [1, 256, 1280],
]

export const benches: readonly Bench[] = shapes.map((shape) => ({
  name: `layerNorm float32 ${shape.join('x')}`,
  bytes: 8 * shape.reduce((a, b) => a * b),
  setup() {
    const c = shape.at(-1)!
    const x = randomNormal(shape, { seed: 1 })
    const weight = full([c], 1)
    const bias = zeros([c])
    const run = () => layerNorm(x, weight, bias)
    return {
      run,
      error: () =>
        sampledError(run, [x], (x) => {
          const normalise = normaliser(1e-5)
          return (i) => {
            const row = Math.floor(i / c)
            return normalise(row, c, (j) => x[row * c + j]!)(x[i]!)
          }
        }),
    }
  },
}))

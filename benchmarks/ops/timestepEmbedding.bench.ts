import { timestepEmbedding } from '../../lib/ops/timestepEmbedding.ts'
import { sampledError } from '../error.ts'
import type { Bench } from '../harness.ts'
import { tensor } from '../tensors.ts'

const dim = 320

export const benches: readonly Bench[] = [
  {
    name: `timestepEmbedding float32 4x${dim}`,
    bytes: 4 * 4 * dim,
    setup() {
      const timesteps = tensor([0, 250, 500, 999], [4])
      const run = () => timestepEmbedding(timesteps, { dim })
      const expected = (timesteps: Float32Array) => (i: number) => {
        const [row, column] = [Math.floor(i / dim), i % dim]
        const angle = timesteps[row]! * 10000 ** (-(column % (dim / 2)) / (dim / 2))
        return column < dim / 2 ? Math.cos(angle) : Math.sin(angle)
      }
      return { run, error: () => sampledError(run, [timesteps], expected) }
    },
  },
]

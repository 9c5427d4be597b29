import { timestepEmbedding } from '../../lib/ops/timestepEmbedding.ts'
import { tensor } from '../../lib/tensor/create.ts'
import type { Bench } from '../harness.ts'

export const benches: readonly Bench[] = [
  {
    name: 'timestepEmbedding float32 4x320',
    bytes: 4 * 4 * 320,
    setup() {
      const timesteps = tensor([0, 250, 500, 999], [4])
      return { run: () => timestepEmbedding(timesteps, { dim: 320 }) }
    },
  },
]

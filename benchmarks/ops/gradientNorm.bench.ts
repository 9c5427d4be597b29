import { gradientNorm } from '../../lib/ops/gradientNorm.ts'
import { sampledError, sumOf } from '../error.ts'
import type { Bench } from '../harness.ts'
import { randomNormal } from '../tensors.ts'

// As many tensors as the U-Net of Stable Diffusion 1 has, at a fraction of their size.
const tensors = 686
const size = 40_000

export const benches: readonly Bench[] = [
  {
    name: `gradientNorm float32 ${tensors}x${size}`,
    bytes: 4 * tensors * size,
    setup() {
      const gradients = Array.from({ length: tensors }, (_, i) => randomNormal([size], { seed: i }))
      const run = () => gradientNorm(gradients, 1)
      const expect = (...values: readonly Float32Array[]) => {
        const norm = Math.sqrt(sumOf(tensors, (t) => sumOf(size, (j) => values[t]![j]! ** 2)))
        return (i: number): number => (i === 0 ? norm : Math.min(1, 1 / (norm + 1e-6)))
      }
      return { run, error: () => sampledError(run, gradients, expect) }
    },
  },
]

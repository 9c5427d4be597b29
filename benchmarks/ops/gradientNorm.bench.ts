import { gradientNorm } from '../../lib/ops/gradientNorm.ts'
import { randomNormal } from '../../lib/tensor/create.ts'
import type { Bench } from '../harness.ts'

// As many tensors as the U-Net of Stable Diffusion 1 has, at a fraction of their size.
const tensors = 686
const size = 40_000

export const benches: readonly Bench[] = [
  {
    name: `gradientNorm float32 ${tensors}x${size}`,
    bytes: 4 * tensors * size,
    setup() {
      const gradients = Array.from({ length: tensors }, (_, i) => randomNormal([size], { seed: i }))
      return { run: () => gradientNorm(gradients, 1) }
    },
  },
]

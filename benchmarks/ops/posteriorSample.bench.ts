import { posteriorSample } from '../../lib/ops/posteriorSample.ts'
import { randomNormal } from '../../lib/tensor/create.ts'
import type { Bench } from '../harness.ts'

const [n, h, w, c] = [4, 128, 128, 4]

export const benches: readonly Bench[] = [
  {
    name: `posteriorSample float32 ${n}x${h}x${w}x${2 * c}`,
    bytes: 16 * n * h * w * c,
    setup() {
      const moments = randomNormal([n, h, w, 2 * c], { seed: 1 })
      const noise = randomNormal([n, h, w, c], { seed: 2 })
      return { run: () => posteriorSample(moments, noise) }
    },
  },
]

import { posteriorSample } from '../../lib/ops/posteriorSample.ts'
import { sampledError } from '../error.ts'
import type { Bench } from '../harness.ts'
import { randomNormal } from '../tensors.ts'

const [n, h, w, c] = [4, 128, 128, 4]

export const benches: readonly Bench[] = [
  {
    name: `posteriorSample float32 ${n}x${h}x${w}x${2 * c}`,
    bytes: 16 * n * h * w * c,
    setup() {
      const moments = randomNormal([n, h, w, 2 * c], { seed: 1 })
      const noise = randomNormal([n, h, w, c], { seed: 2 })
      const run = () => posteriorSample(moments, noise)
      const expected = (moments: Float32Array, noise: Float32Array) => (i: number) => {
        const mean = Math.floor(i / c) * 2 * c + (i % c)
        const logVariance = Math.min(20, Math.max(-30, moments[mean + c]!))
        return moments[mean]! + Math.exp(logVariance / 2) * noise[i]!
      }
      return { run, error: () => sampledError(run, [moments, noise], expected) }
    },
  },
]

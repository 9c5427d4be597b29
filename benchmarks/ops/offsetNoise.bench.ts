import { offsetNoise } from '../../lib/ops/offsetNoise.ts'
import { randomNormal } from '../../lib/tensor/create.ts'
import type { Bench } from '../harness.ts'

const shape = [4, 128, 128, 4]
const elements = 4 * 128 * 128 * 4

export const benches: readonly Bench[] = [0, 0.1].map((adaptiveScale) => ({
  name: `offsetNoise${adaptiveScale === 0 ? '' : ' adaptive'} float32 ${shape.join('x')}`,
  bytes: (adaptiveScale === 0 ? 8 : 12) * elements,
  setup() {
    const noise = randomNormal(shape, { seed: 1 })
    const latents = randomNormal(shape, { seed: 2 })
    return { run: () => offsetNoise(noise, latents, { offset: 0.1, adaptiveScale, seed: 3 }) }
  },
}))

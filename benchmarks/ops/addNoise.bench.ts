import { addNoise } from '../../lib/ops/addNoise.ts'
import { sampledError } from '../error.ts'
import type { Bench } from '../harness.ts'
import { randomNormal, randomUniform, tensor } from '../tensors.ts'

const shapes = [
  [1, 64, 64, 4],
  [4, 128, 128, 4],
]

export const benches: readonly Bench[] = shapes.map((shape) => ({
  name: `addNoise float32 ${shape.join('x')}`,
  bytes: 12 * shape.reduce((a, b) => a * b),
  setup() {
    const latents = randomNormal(shape, { seed: 1 })
    const noise = randomNormal(shape, { seed: 2 })
    const timesteps = tensor(
      Int32Array.from({ length: shape[0]! }, (_, n) => 200 * n),
      [shape[0]!],
    )
    const alphasCumprod = randomUniform([1000], { seed: 3 })
    const run = () => addNoise(latents, noise, timesteps, alphasCumprod)
    return {
      run,
      error: () =>
        sampledError(run, [latents, noise, timesteps, alphasCumprod], (latents, noise, timesteps, alphas) => (i) => {
          const a = alphas[timesteps[Math.floor((i * shape[0]!) / latents.length)]!]!
          return Math.sqrt(a) * latents[i]! + Math.sqrt(1 - a) * noise[i]!
        }),
    }
  },
}))

import { offsetNoise } from '../../lib/ops/offsetNoise.ts'
import { philox4x32 } from '../../lib/util/philox.ts'
import { sampledError, sumOf } from '../error.ts'
import type { Bench } from '../harness.ts'
import { randomNormal } from '../tensors.ts'

const [samples, pixels, channels] = [4, 128 * 128, 4]
const shape = [samples, 128, 128, channels]
const elements = samples * pixels * channels
const [offset, seed] = [0.1, 3]

/** Number i of the key's standard normals: Box-Muller on pairs of words. */
function normalAt(i: number): number {
  const words = philox4x32([Math.floor(i / 4), 0, 0, 0], [seed, 0])
  const [a, b] = i % 4 < 2 ? [words[0], words[1]] : [words[2], words[3]]
  const radius = Math.sqrt(-2 * Math.log((a + 0.5) * 2 ** -32))
  const angle = 2 * Math.PI * ((b + 0.5) * 2 ** -32)
  return radius * (i % 2 ? Math.sin(angle) : Math.cos(angle))
}

export const benches: readonly Bench[] = [0, 0.1].map((adaptiveScale) => ({
  name: `offsetNoise${adaptiveScale === 0 ? '' : ' adaptive'} float32 ${shape.join('x')}`,
  bytes: (adaptiveScale === 0 ? 8 : 12) * elements,
  setup() {
    const noise = randomNormal(shape, { seed: 1 })
    const latents = randomNormal(shape, { seed: 2 })
    const run = () => offsetNoise(noise, latents, { offset, adaptiveScale, seed })
    const expected = (noise: Float32Array, latents: Float32Array) => (i: number) => {
      const [sample, channel] = [Math.floor(i / pixels / channels), i % channels]
      const latent = (pixel: number) => latents[(sample * pixels + pixel) * channels + channel]!
      const mean = adaptiveScale === 0 ? 0 : sumOf(pixels, latent) / pixels
      return noise[i]! + Math.max(0, offset + adaptiveScale * Math.abs(mean)) * normalAt(sample * channels + channel)
    }
    return { run, error: () => sampledError(run, [noise, latents], expected) }
  },
}))

/** What a model draws, and how far pictures are from each other. */
import { noGrad } from '../../lib/autograd/tape.ts'
import type { Vae } from '../../lib/models/stableDiffusion/vae.ts'
import { imageToTensor } from '../../lib/ops/imageToTensor.ts'
import { sliceChannels } from '../../lib/ops/sliceChannels.ts'
import { samplePicture } from '../../lib/preview/pipeline.ts'
import type { RgbImage } from '../../lib/preview/png.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { scope } from '../../lib/tensor/scope.ts'
import type { PreviewSource } from '../../lib/train/method.ts'

/** Width and height of everything that is drawn. */
const size = 64

/** One picture for each prompt and seed, seeds of a prompt together. */
export async function drawAll(
  { models, tokenizer }: PreviewSource,
  prompts: readonly string[],
  seeds: readonly number[],
): Promise<RgbImage[]> {
  const pictures: RgbImage[] = []
  const options = { negativePrompt: '', width: size, height: size, steps: 20, scale: 2.5 }
  for (const prompt of prompts)
    for (const seed of seeds) pictures.push(await samplePicture(models, tokenizer, { prompt, ...options }, { seed }))
  return pictures
}

/** A picture through the autoencoder and back: what the best of drawings would be. */
export async function copyOf(vae: Vae, { width, height, pixels }: RgbImage): Promise<RgbImage> {
  const copy = noGrad(() =>
    scope(() => {
      const moments = vae.encode(imageToTensor(tensor(pixels, [height, width, 3]), {}))
      return vae.decode(sliceChannels(moments, { start: 0, end: vae.config.latentChannels }))
    }),
  )
  const values = (await copy.read()) as Float32Array
  copy.dispose()
  return { width, height, pixels: Uint8Array.from(Uint8ClampedArray.from(values, (x) => x * 127.5 + 127.5)) }
}

/** Root of the mean squared difference of two pictures, 0 to 1. */
export function distance(a: RgbImage, b: RgbImage): number {
  let sum = 0
  for (let i = 0; i < a.pixels.length; i++) sum += ((a.pixels[i]! - b.pixels[i]!) / 255) ** 2
  return Math.sqrt(sum / a.pixels.length)
}

/** Mean distance between pictures of the same place in two lists. */
export function meanDistance(a: readonly RgbImage[], b: readonly RgbImage[]): number {
  return a.reduce((sum, picture, i) => sum + distance(picture, b[i]!), 0) / a.length
}

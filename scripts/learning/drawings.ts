/** What a model draws, and how far pictures are from each other. */

import { noGrad } from '../../lib/autograd/tape.ts'
import type { StableDiffusion } from '../../lib/models/stableDiffusion/stableDiffusion.ts'
import { imageToTensor } from '../../lib/ops/imageToTensor.ts'
import { sliceChannels } from '../../lib/ops/sliceChannels.ts'
import { samplePicture } from '../../lib/preview/pipeline.ts'
import type { RgbImage } from '../../lib/preview/png.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { scope } from '../../lib/tensor/scope.ts'
import type { PreviewSource } from '../../lib/train/method.ts'
import { pictureSize } from './world.ts'

/** One picture for each prompt and seed, seeds of a prompt together. */
export async function drawAll(
  { models, tokenizer }: PreviewSource,
  prompts: readonly string[],
  seeds: readonly number[],
): Promise<RgbImage[]> {
  const pictures: RgbImage[] = []
  const size = { width: pictureSize, height: pictureSize }
  for (const prompt of prompts)
    for (const seed of seeds)
      pictures.push(
        await samplePicture(models, tokenizer, { prompt, negativePrompt: '', ...size, steps: 20, scale: 1 }, { seed }),
      )
  return pictures
}

/** Pictures through the autoencoder and back: what the best of drawings would be. */
export async function copyAll({ vae }: StableDiffusion, pictures: readonly RgbImage[]): Promise<RgbImage[]> {
  const copies: RgbImage[] = []
  for (const { width, height, pixels } of pictures) {
    const copy = noGrad(() =>
      scope(() => {
        const moments = vae.encode(imageToTensor(tensor(pixels, [height, width, 3]), {}))
        return vae.decode(sliceChannels(moments, { start: 0, end: vae.config.latentChannels }))
      }),
    )
    const values = (await copy.read()) as Float32Array
    copy.dispose()
    copies.push({ width, height, pixels: Uint8Array.from(Uint8ClampedArray.from(values, (x) => x * 127.5 + 127.5)) })
  }
  return copies
}

/** Root of the mean squared difference of two pictures, 0 to 1. */
export function distance(a: Pick<RgbImage, 'pixels'>, b: Pick<RgbImage, 'pixels'>): number {
  let sum = 0
  for (let i = 0; i < a.pixels.length; i++) sum += ((a.pixels[i]! - b.pixels[i]!) / 255) ** 2
  return Math.sqrt(sum / a.pixels.length)
}

/** Mean distance between pictures of the same place in two lists. */
export function meanDistance(a: readonly RgbImage[], b: readonly RgbImage[]): number {
  return a.reduce((sum, picture, i) => sum + distance(picture, b[i]!), 0) / a.length
}

/** Pictures beside each other in rows. */
export function contactSheet(rows: readonly (readonly RgbImage[])[]): RgbImage {
  const width = Math.max(...rows.map((row) => row.length)) * pictureSize
  const height = rows.length * pictureSize
  const pixels = new Uint8Array(width * height * 3).fill(255)
  rows.forEach((row, top) => {
    row.forEach((picture, left) => {
      for (let y = 0; y < pictureSize; y++) {
        const line = picture.pixels.subarray(y * pictureSize * 3, (y + 1) * pictureSize * 3)
        pixels.set(line, ((top * pictureSize + y) * width + left * pictureSize) * 3)
      }
    })
  })
  return { width, height, pixels }
}

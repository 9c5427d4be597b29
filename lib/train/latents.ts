/** From pictures to latents: read, resized, cropped and encoded for each batch, or once and kept in memory. */
import { noGrad } from '../autograd/tape.ts'
import type { CropPlan } from '../data/cropPlan.ts'
import type { DatasetImage } from '../data/dataset.ts'
import type { DatasetGroup } from '../data/datasetGroup.ts'
import { type DecodedImage, decodeImage } from '../data/image.ts'
import type { Vae } from '../models/stableDiffusion/vae.ts'
import { streamOf } from '../nn/init.ts'
import { cast } from '../ops/cast.ts'
import { concatBatch } from '../ops/concatBatch.ts'
import { imageToTensor } from '../ops/imageToTensor.ts'
import { posteriorSample } from '../ops/posteriorSample.ts'
import { resizeImage } from '../ops/resizeImage.ts'
import { randomNormal, tensor } from '../tensor/create.ts'
import { keep, scope } from '../tensor/scope.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { DataError } from '../util/errors.ts'

/** A decoded picture as the VAE takes it: resized, cropped, mirrored if asked, [1, h, w, 3] in [-1, 1]. */
export function pictureTensor({ width, height, pixels }: DecodedImage, crop: CropPlan, flip: boolean): Tensor {
  return scope(() => {
    const picture = tensor(pixels, [height, width, 3])
    const { resized, left, top, target } = crop
    const fitted =
      resized.width === width && resized.height === height ? picture : resizeImage(picture, { ...resized, method: 'area' })
    return imageToTensor(fitted, { left, top, width: target.width, height: target.height, flip })
  })
}

/**
 * Encodes pictures and draws from the posterior, in float32 and without the scaling factor.
 * @param pixels [n, h, w, 3]
 * @param streams one for each picture: the same stream gives the same latent
 */
export function encodePictures(vae: Vae, pixels: Tensor, seed: bigint, streams: readonly bigint[]): Tensor {
  return noGrad(() =>
    scope(() => {
      const moments = vae.encode(cast(pixels, { dtype: vae.registry.dtype }))
      const [, h, w, channels] = moments.shape as readonly [number, number, number, number]
      const noise = concatBatch(streams.map((stream) => randomNormal([1, h, w, channels / 2], { seed, stream })))
      return posteriorSample(moments, noise)
    }),
  )
}

/** The latents of every picture of a group, each encoded once; mirrored ones too where the data asks for them. */
export class LatentCache {
  readonly #latents = new Map<string, Tensor>()

  static key(dataset: number, image: DatasetImage, flip: boolean): string {
    return `${dataset}/${image.index}/${flip}`
  }

  get(dataset: number, image: DatasetImage, flip: boolean): Tensor {
    const latent = this.#latents.get(LatentCache.key(dataset, image, flip))
    if (latent === undefined) throw new DataError(image.path, 'its latent is not in the cache')
    return latent
  }

  /** Fills the cache, pictures of one size together, and reports how far it has come. */
  async *fill(group: DatasetGroup, vae: Vae, batchSize: number): AsyncGenerator<{ done: number; total: number }> {
    const wanted = group.datasets.flatMap((dataset) =>
      dataset.images
        .toSorted((a, b) => a.crop.target.width - b.crop.target.width || a.crop.target.height - b.crop.target.height)
        .flatMap((image) => (image.subset.flipAug ? [false, true] : [false]).map((flip) => ({ dataset: dataset.index, image, flip }))),
    )
    for (let start = 0; start < wanted.length; ) {
      const { width, height } = wanted[start]!.image.crop.target
      let end = start + 1
      while (end < wanted.length && end - start < batchSize) {
        const { target } = wanted[end]!.image.crop
        if (target.width !== width || target.height !== height) break
        end++
      }
      const batch = wanted.slice(start, end)
      const pictures = await Promise.all(batch.map(({ image }) => decodeImage(image.path)))
      const latents = scope(() => {
        const pixels = concatBatch(batch.map(({ image, flip }, i) => pictureTensor(pictures[i]!, image.crop, flip)))
        const streams = batch.map(({ dataset, image, flip }) => streamOf(`latent/${LatentCache.key(dataset, image, flip)}`))
        return encodePictures(vae, pixels, group.seed, streams)
      })
      const bytes = (await latents.read()) as Float32Array
      latents.dispose()
      const [, h, w, c] = latents.shape as readonly [number, number, number, number]
      batch.forEach(({ dataset, image, flip }, i) => {
        const values = bytes.subarray(i * h * w * c, (i + 1) * h * w * c)
        if (!values.every(Number.isFinite))
          throw new DataError(image.path, 'the VAE made a latent that is not finite; train with mixed_precision "no"')
        this.#latents.set(LatentCache.key(dataset, image, flip), keep(tensor(values, [1, h, w, c])))
      })
      start = end
      yield { done: end, total: wanted.length }
    }
  }

  dispose(): void {
    for (const latent of this.#latents.values()) latent.dispose()
    this.#latents.clear()
  }
}

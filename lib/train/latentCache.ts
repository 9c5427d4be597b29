import type { DatasetImage } from '../data/dataset.ts'
import type { DatasetGroup } from '../data/datasetGroup.ts'
import { decodeImage } from '../data/image.ts'
import type { Vae } from '../models/stableDiffusion/vae.ts'
import { streamOf } from '../nn/init.ts'
import { concatBatch } from '../ops/concatBatch.ts'
import { tensor } from '../tensor/create.ts'
import { keep, scope } from '../tensor/scope.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { DataError } from '../util/errors.ts'
import { encodePictures, pictureTensor } from './latents.ts'

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
        .flatMap((image) =>
          (image.subset.flipAug ? [false, true] : [false]).map((flip) => ({ dataset: dataset.index, image, flip })),
        ),
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
        const streams = batch.map(({ dataset, image, flip }) =>
          streamOf(`latent/${LatentCache.key(dataset, image, flip)}`),
        )
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

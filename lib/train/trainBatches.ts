/** The batches of an epoch as the trainer takes them: latents from a cache, from files or encoded on the spot, and loss masks. */
import { type Batch, type BatchItem, type EpochProgress, epochBatches, readPicture } from '../data/batches.ts'
import type { DatasetGroup } from '../data/datasetGroup.ts'
import type { DecodedImage } from '../data/image.ts'
import { type Latent, readLatentFile } from '../data/latentFiles.ts'
import { type LoaderOptions, loadBatches } from '../data/loader.ts'
import type { Vae } from '../models/stableDiffusion/vae.ts'
import { streamOf } from '../nn/init.ts'
import { concatBatch } from '../ops/concatBatch.ts'
import { scale } from '../ops/scale.ts'
import { tensor } from '../tensor/create.ts'
import { scope } from '../tensor/scope.ts'
import type { Tensor } from '../tensor/tensor.ts'
import type { LatentCache } from './latentCache.ts'
import { encodePictures, loadedTensor } from './latents.ts'
import { LossMasks } from './lossMasks.ts'
import type { Mask } from './mask.ts'
import type { TrainBatch } from './trainingStep.ts'

export interface TrainBatchOptions extends LoaderOptions {
  readonly vae: Vae
  /** Latents of every picture; null: pictures are encoded for each use, and latents that come with them are read. */
  readonly cache: LatentCache | null
  readonly ignoreExif: boolean
}

/** What is loaded for one use: its picture, or the latent that comes with it; and its mask. */
type LoadedItem = ({ readonly picture: DecodedImage } | { readonly latent: Latent }) & { readonly mask: Mask | null }

/** Makes the batches of every epoch of a training. */
export class TrainBatches {
  readonly #group: DatasetGroup
  readonly #options: TrainBatchOptions
  readonly #masks: LossMasks

  constructor(group: DatasetGroup, options: TrainBatchOptions) {
    this.#group = group
    this.#options = options
    this.#masks = new LossMasks(options.vae.reduction, options.ignoreExif)
  }

  /**
   * The epoch's batches in their order, with scaled latents on the VAE's device, which the caller disposes.
   * @param from batches to pass over, when a run goes on within an epoch
   */
  async *epoch(epoch: number, progress: EpochProgress, from = 0): AsyncGenerator<TrainBatch, void, void> {
    const { cache } = this.#options
    const batches = epochBatches(this.#group, epoch, { progress, from })
    let position = from
    if (cache !== null) {
      for await (const { batch, toTensor } of cache.batches(batches)) {
        const mask = await this.#masks.ofBatch(batch)
        yield this.#make(epoch, position++, batch, mask, toTensor)
      }
      return
    }
    const load = (item: BatchItem): Promise<LoadedItem> => this.#load(item)
    for await (const { batch, loaded } of loadBatches(batches, load, this.#options)) {
      const mask = this.#masks.join(loaded.map((item) => item.mask))
      const at = position++
      yield this.#make(epoch, at, batch, mask, () => this.#latents(epoch, at, batch, loaded))
    }
  }

  async #load(item: BatchItem): Promise<LoadedItem> {
    const { vae, ignoreExif } = this.#options
    const { latents, crop } = item.image
    if (latents === undefined) {
      const picture = await readPicture(item, { ignoreExif })
      return { picture, mask: await this.#masks.ofItem(item, picture) }
    }
    const [width, height] = [crop.target.width / vae.reduction, crop.target.height / vae.reduction]
    const latent = await readLatentFile(latents, item.flip, { width, height, channels: vae.config.latentChannels })
    return { latent, mask: await this.#masks.ofItem(item) }
  }

  #make(epoch: number, batch: number, { items }: Batch, mask: Float32Array | null, unscaled: () => Tensor): TrainBatch {
    const factor = this.#options.vae.config.scalingFactor
    return {
      key: { epoch, batch },
      latents: scope(() => scale(unscaled(), { factor })),
      captions: items.map((item) => item.caption),
      lossWeights: items.map((item) => item.lossWeight),
      pictures: items.map(({ image }) => image.path),
      ...(mask === null ? {} : { mask }),
    }
  }

  #latents(epoch: number, position: number, { items }: Batch, loaded: readonly LoadedItem[]): Tensor {
    const { device } = this.#options.vae.registry
    const parts = loaded.map((item, slot) => {
      if ('latent' in item) return tensor(item.latent.values, [1, ...item.latent.shape], { device })
      return loadedTensor(item.picture, items[slot]!, device)
    })
    if (loaded.every((item) => 'latent' in item)) return concatBatch(parts)
    const streams = items.map((_, slot) => streamOf(`posterior/${epoch}/${position + 1}/${slot}`))
    return encodePictures(this.#options.vae, concatBatch(parts), this.#group.seed, streams)
  }
}

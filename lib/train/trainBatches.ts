/** The batches of an epoch as the trainer takes them: latents from a cache, from files or encoded on the spot, and loss masks. */
import {
  type Batch,
  type BatchItem,
  type BatchPlace,
  type EpochProgress,
  epochBatches,
  readPicture,
  standIn,
} from '../data/batches.ts'
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
import { DataError } from '../util/errors.ts'
import { BadPictures } from './badPictures.ts'
import type { LatentCache } from './inputs/latentCache.ts'
import { encodePictures, loadedTensor } from './inputs/latents.ts'
import { LossMasks } from './step/lossMasks.ts'
import type { Mask } from './step/mask.ts'
import type { TrainBatch } from './step/trainingStep.ts'

export interface TrainBatchOptions extends LoaderOptions {
  readonly vae: Vae
  /** Latents of every picture; null: pictures are encoded for each use, and latents that come with them are read. */
  readonly cache: LatentCache | null
  readonly ignoreExif: boolean
  /** What becomes of pictures that cannot be read. Default: they end the run. */
  readonly badPictures?: BadPictures | undefined
  /** For pictures that are measured: seeds of their noise by dataset. Default: they are trained on. */
  readonly measuredSeeds?: readonly bigint[] | undefined
}

/** What is loaded for one use: its picture, or the latent that comes with it; and its mask. */
type LoadedItem = ({ readonly picture: DecodedImage } | { readonly latent: Latent }) & {
  /** As planned, or what stands in for it. */
  readonly item: BatchItem
  readonly mask: Mask | null
}

/** A batch of the plan, with its number in the epoch. */
interface NumberedBatch extends Batch {
  readonly at: number
}

/** Makes the batches of every epoch of a training. */
export class TrainBatches {
  readonly #group: DatasetGroup
  readonly #options: TrainBatchOptions
  readonly #masks: LossMasks
  readonly #bad: BadPictures

  constructor(group: DatasetGroup, options: TrainBatchOptions) {
    this.#group = group
    this.#options = options
    this.#masks = new LossMasks(options.vae.reduction, options.ignoreExif)
    this.#bad = options.badPictures ?? new BadPictures()
  }

  /**
   * The epoch's batches in their order, with scaled latents on the VAE's device, which the caller disposes.
   * @param from batches to pass over, when a run goes on within an epoch
   */
  async *epoch(epoch: number, progress: EpochProgress, from = 0): AsyncGenerator<TrainBatch, void, void> {
    const { cache } = this.#options
    const batches = numbered(epochBatches(this.#group, epoch, { progress, from }), from)
    const usable = ({ at: batch, items }: NumberedBatch, slot: number): BatchItem =>
      this.#usable(items[slot]!, { epoch, batch, slot, progress })
    if (cache !== null) {
      // What cannot be read was found when the cache was filled.
      const readable = mapEach(batches, (batch) => {
        return { ...batch, items: batch.items.map((_, slot) => usable(batch, slot)) }
      })
      for await (const { batch, toTensor } of cache.batches(readable)) {
        const mask = await this.#masks.ofBatch(batch)
        yield this.#make(epoch, batch.at, batch, mask, toTensor)
      }
      return
    }
    const load = (item: BatchItem, batch: NumberedBatch): Promise<LoadedItem> => {
      const slot = batch.items.indexOf(item)
      return this.#load(() => usable(batch, slot))
    }
    for await (const { batch: planned, loaded } of loadBatches(batches, load, this.#options)) {
      for (const { image } of planned.items) this.#bad.leaveOut(image)
      const batch = { ...planned, items: loaded.map(({ item }) => item) }
      const mask = this.#masks.join(loaded.map((item) => item.mask))
      yield this.#make(epoch, batch.at, batch, mask, () => this.#latents(epoch, batch.at, loaded))
    }
  }

  /** The item, or what stands in for it. */
  #usable(item: BatchItem, place: BatchPlace): BatchItem {
    if (!this.#bad.has(item.image)) return item
    const other = standIn(this.#group, place, (image) => !this.#bad.has(image))
    if (other === undefined)
      throw new DataError(item.image.path, 'neither it nor another picture of its size can be read')
    return other
  }

  /** @param next the item to load: another one after a picture was found to be bad */
  async #load(next: () => BatchItem): Promise<LoadedItem> {
    const { vae, ignoreExif } = this.#options
    for (;;) {
      const item = next()
      const { latents, crop } = item.image
      if (latents !== undefined) {
        const [width, height] = [crop.target.width / vae.reduction, crop.target.height / vae.reduction]
        const latent = await readLatentFile(latents, item.flip, { width, height, channels: vae.config.latentChannels })
        return { item, latent, mask: await this.#masks.ofItem(item) }
      }
      let picture: DecodedImage
      try {
        picture = await readPicture(item, { ignoreExif })
      } catch (error) {
        this.#bad.add(item.image, error)
        continue
      }
      return { item, picture, mask: await this.#masks.ofItem(item, picture) }
    }
  }

  #make(
    epoch: number,
    batch: number,
    { dataset, items }: Batch,
    mask: Float32Array | null,
    unscaled: () => Tensor,
  ): TrainBatch {
    const factor = this.#options.vae.config.scalingFactor
    return {
      key: { epoch, batch },
      latents: scope(() => scale(unscaled(), { factor })),
      captions: items.map((item) => item.caption),
      lossWeights: items.map((item) => item.lossWeight),
      networkMultiplier: this.#group.datasets[dataset]!.config.networkMultiplier,
      attributes: items.map(({ image }) => image.subset.customAttributes ?? {}),
      pictures: items.map(({ image }) => image.path),
      measuredSeed: this.#options.measuredSeeds?.[dataset],
      ...(mask === null ? {} : { mask }),
    }
  }

  #latents(epoch: number, position: number, loaded: readonly LoadedItem[]): Tensor {
    const { device } = this.#options.vae.registry
    const parts = loaded.map((each) => {
      if ('latent' in each) return tensor(each.latent.values, [1, ...each.latent.shape], { device })
      return loadedTensor(each.picture, each.item, device)
    })
    if (loaded.every((each) => 'latent' in each)) return concatBatch(parts)
    const streams = loaded.map((_, slot) => streamOf(`posterior/${epoch}/${position + 1}/${slot}`))
    return encodePictures(this.#options.vae, concatBatch(parts), this.#group.seed, streams)
  }
}

function* numbered(batches: Iterable<Batch>, from: number): Generator<NumberedBatch, void, void> {
  let at = from
  for (const batch of batches) yield { ...batch, at: at++ }
}

function* mapEach<T, R>(values: Iterable<T>, map: (value: T) => R): Generator<R, void, void> {
  for (const value of values) yield map(value)
}

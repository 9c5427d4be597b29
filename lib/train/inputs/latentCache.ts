/** Latents encoded before training, in memory or in files, and given out batch by batch. */
import { availableParallelism } from 'node:os'
import type { DatasetImage } from '../../data/dataset.ts'
import type { DatasetGroup } from '../../data/datasetGroup.ts'
import { type Latent, type LatentSize, readLatentFile } from '../../data/latentFiles.ts'
import type { Vae } from '../../models/stableDiffusion/vae.ts'
import { tensor } from '../../tensor/create.ts'
import type { DeviceName, Tensor } from '../../tensor/tensor.ts'
import { ArgumentError, DataError } from '../../util/errors.ts'
import { mapAhead } from '../../util/mapAhead.ts'
import { BadPictures } from '../badPictures.ts'
import type { CacheEvent, WarningEvent } from '../events.ts'
import {
  compareTargets,
  type EncodedPicture,
  EncodingQueue,
  encodeMissing,
  type PictureRequest,
  type ReadPicture,
  readPicture,
  type Shard,
  shardOf,
} from './latentEncoder.ts'
import type { LatentStore } from './latentStore.ts'

export interface LatentCacheOptions {
  readonly vae: Vae
  /** Whether the orientation that EXIF tells is passed over. Default false. */
  readonly ignoreExif?: boolean
  /** Where latents are kept between runs; they are read again for each batch. Default null: all stay in memory. */
  readonly store?: LatentStore | null
  /** What becomes of pictures that cannot be read. Default: they end the filling. */
  readonly badPictures?: BadPictures
  /** Pictures encoded at once. Default 1. */
  readonly batchSize?: number
  /** Pictures read and decoded while others are encoded. Default 8, at most the number of processors. */
  readonly workers?: number
}

export interface FillOptions {
  /** Aborting it ends the filling after the batch in hand. What is in the store by then is found by the next run. */
  readonly signal?: AbortSignal | undefined
  /**
   * Which part of the pictures to look after, all parts being about the same work. For a cache with a store, which other processes
   * fill as well. Default: all.
   */
  readonly shard?: Shard | undefined
}

/** A picture of a group with all that decides its pixels. */
interface CachedPicture extends PictureRequest {
  readonly dataset: number
  readonly image: DatasetImage
}

/** A picture as far as it was read, and what is wrong with what was kept of it. */
interface Found {
  readonly picture: ReadPicture<CachedPicture>
  readonly warnings: readonly string[]
}

/** One use of a cached picture. */
export interface LatentUse {
  readonly image: DatasetImage
  readonly flip: boolean
}

/** What of a batch its latents depend on. */
export interface LatentUses {
  /** Index of the dataset in the group. */
  readonly dataset: number
  readonly items: readonly LatentUse[]
}

/** A batch with its latents, which become a tensor when they are wanted. */
export interface LatentBatch<B extends LatentUses = LatentUses> {
  readonly batch: B
  /** Unscaled latents on the VAE's device, float32 [n, h, w, c]; each call makes a tensor that the caller disposes. */
  toTensor(): Tensor
}

/**
 * The latents of every picture of a group, mirrored ones too where the data asks for them. A latent is a function of the
 * picture's bytes, its crop and the VAE: memory and store give the same values, whatever the run's seed. Latents that another
 * device encoded differ by rounding, and are used. Pictures that come with
 * latents (`DatasetImage.latents`, from fine-tuning metadata) are not encoded; theirs are used. Other files of latents beside pictures
 * are not looked at: nothing in them tells whether they are out of date.
 */
export class LatentCache {
  readonly #options: Required<LatentCacheOptions>
  readonly #memory = new Map<string, Latent>()
  /** Picture keys by use. */
  readonly #keys = new Map<string, string>()

  constructor(options: LatentCacheOptions) {
    this.#options = {
      store: null,
      batchSize: 1,
      workers: Math.min(8, availableParallelism()),
      ignoreExif: false,
      badPictures: new BadPictures(),
      ...options,
    }
  }

  /**
   * Encodes what is missing, the smallest pictures first, those of one size together, and reports how far it has come. A second
   * call goes on where the first was left.
   *
   * @throws DataError naming the picture that cannot be used; IoError when the store cannot be written
   */
  async *fill(group: DatasetGroup, options: FillOptions = {}): AsyncGenerator<CacheEvent | WarningEvent, void, void> {
    const { signal, shard } = options
    const { batchSize, workers, store, badPictures } = this.#options
    if (shard !== undefined && store === null)
      throw new ArgumentError('LatentCache', 'shard', 'given with a store, which other processes fill too', 'no store')
    const pictures = shard === undefined ? picturesOf(group) : shardOf(picturesOf(group), shard)
    const progress = new Progress(pictures.reduce((sum, { image }) => sum + flipsOf(image).length, 0))
    const queue = new EncodingQueue<CachedPicture>(this.#options.vae, batchSize)
    let writing = Promise.resolve()
    const keep = async (encoded: readonly EncodedPicture[]): Promise<CacheEvent> => {
      // Entries are flushed to the disk while the next batch is encoded.
      await writing
      writing = Promise.all(encoded.map(({ key, latent }) => this.#keep(key, latent))).then(() => undefined)
      writing.catch(() => undefined)
      return progress.add(encoded.length, 0)
    }
    try {
      for await (const found of mapAhead(pictures, workers - 1, (each) => this.#findReadable(each))) {
        if (signal?.aborted) return
        if ('bad' in found) {
          badPictures.leaveOut(found.bad)
          for (const message of badPictures.takeMessages()) yield { type: 'warning', message }
          yield progress.add(flipsOf(found.bad).length, 0)
          continue
        }
        const { picture, warnings } = found
        for (const message of warnings) yield { type: 'warning', message }
        const reused = flipsOf(picture.request.image).length - picture.missing.length
        if (reused > 0) yield progress.add(reused, reused)
        if (picture.missing.length === 0) continue
        const encoded = await queue.add(picture)
        if (encoded.length > 0) yield await keep(encoded)
        if (signal?.aborted) return
      }
      const rest = await queue.finish()
      if (rest.length > 0) yield await keep(rest)
    } finally {
      await writing
    }
  }

  /** The batches in their order, each with its latents; up to `prefetch` further ones are read while one is in use. */
  async *batches<B extends LatentUses>(batches: Iterable<B>, prefetch = 2): AsyncGenerator<LatentBatch<B>, void, void> {
    const read = async (batch: B): Promise<LatentBatch<B>> => {
      const latents = await Promise.all(batch.items.map((item) => this.#take(batch.dataset, item)))
      return { batch, toTensor: () => batchTensor(latents, this.#options.vae.registry.device) }
    }
    yield* mapAhead(batches, prefetch, read)
  }

  /** Whether a latent may be lost after it was made: one in a file, which others can remove. */
  get mayEncodeAgain(): boolean {
    return this.#options.store !== null
  }

  /** Forgets what is in memory. Entries of the store stay. */
  clear(): void {
    this.#memory.clear()
    this.#keys.clear()
  }

  async #findReadable(request: CachedPicture): Promise<Found | { readonly bad: DatasetImage }> {
    try {
      return await this.#find(request)
    } catch (error) {
      this.#options.badPictures.add(request.image, error)
      return { bad: request.image }
    }
  }

  /** Looks for a picture's latents, and decodes the picture when one is missing. */
  async #find(request: CachedPicture): Promise<Found> {
    const { image } = request
    const warnings: string[] = []
    if (image.latents !== undefined) {
      // Read once now, so that a wrong file is found before training.
      for (const flip of flipsOf(image)) await this.#takeGiven(request, flip)
      return { picture: { request, keys: new Map(), pixels: null, missing: [] }, warnings }
    }
    const has = async (key: string): Promise<boolean> => {
      const { store } = this.#options
      if (store === null) return this.#memory.has(key)
      const lookup = await store.read(key, this.#sizeOf(image))
      if (lookup.found === 'damage') warnings.push(`${lookup.problem}; the latent is made again`)
      return lookup.found === 'latent'
    }
    const picture = await readPicture(request, flipsOf(image), this.#options, has)
    for (const [flip, key] of picture.keys) this.#keys.set(useOf(request.dataset, image, flip), key)
    return { picture, warnings }
  }

  async #keep(key: string, latent: Latent): Promise<void> {
    const { store } = this.#options
    if (store === null) this.#memory.set(key, latent)
    else await store.write(key, latent)
  }

  async #take(dataset: number, { image, flip }: LatentUse): Promise<Latent> {
    const { store, vae } = this.#options
    const request = requestOf(dataset, image)
    if (image.latents !== undefined) return this.#takeGiven(request, flip)
    const key = this.#keys.get(useOf(dataset, image, flip))
    if (store === null) {
      const latent = key === undefined ? undefined : this.#memory.get(key)
      if (latent === undefined) throw new DataError(image.path, 'its latent is not in the cache: call fill() first')
      return latent
    }
    const lookup = key === undefined ? undefined : await store.read(key, this.#sizeOf(image))
    if (lookup?.found === 'latent') return lookup.latent
    // Another process was to fill it, or the entry was lost since.
    const { picture } = await this.#find(request)
    const encoded = await encodeMissing(vae, [picture])
    for (const { key, latent } of encoded) await this.#keep(key, latent)
    const own = encoded.find((each) => each.flip === flip)
    if (own !== undefined) return own.latent
    const again = await store.read(picture.keys.get(flip)!, this.#sizeOf(image))
    if (again.found === 'latent') return again.latent
    throw new DataError(image.path, `its latent is lost again and again from ${store.pathOf(picture.keys.get(flip)!)}`)
  }

  async #takeGiven({ dataset, image }: CachedPicture, flip: boolean): Promise<Latent> {
    const use = useOf(dataset, image, flip)
    const kept = this.#memory.get(use)
    if (kept !== undefined) return kept
    const latent = await readLatentFile(image.latents!, flip, this.#sizeOf(image))
    if (this.#options.store === null) this.#memory.set(use, latent)
    return latent
  }

  #sizeOf({ crop: { target } }: DatasetImage): LatentSize {
    const { reduction, config } = this.#options.vae
    const [width, height] = [target.width / reduction, target.height / reduction]
    return { width, height, channels: config.latentChannels }
  }
}

function useOf(dataset: number, image: DatasetImage, flip: boolean): string {
  return `${dataset}/${image.key}/${flip}`
}

function flipsOf({ subset }: DatasetImage): readonly boolean[] {
  return subset.flipAug ? [false, true] : [false]
}

function requestOf(dataset: number, image: DatasetImage): CachedPicture {
  return { path: image.path, crop: image.crop, interpolation: image.subset.resizeInterpolation, dataset, image }
}

/** All pictures by area, those of one size together; otherwise in the order of the group. The same in every process. */
function picturesOf(group: DatasetGroup): CachedPicture[] {
  return group.datasets
    .flatMap((dataset) => dataset.images.map((image) => requestOf(dataset.index, image)))
    .sort(compareTargets)
}

function batchTensor(latents: readonly Latent[], device: DeviceName): Tensor {
  const [first] = latents
  if (first === undefined) throw new ArgumentError('LatentCache', 'a batch', 'of one picture or more', 'none')
  const all = new Float32Array(latents.length * first.values.length)
  latents.forEach(({ values }, i) => {
    all.set(values, i * first.values.length)
  })
  return tensor(all, [latents.length, ...first.shape], { device })
}

/** Counts latents, mirrored ones too. */
class Progress {
  readonly #started = performance.now()
  #done = 0
  #reused = 0

  constructor(readonly total: number) {}

  add(done: number, reused: number): CacheEvent {
    this.#done += done
    this.#reused += reused
    const perSecond = (1000 * this.#done) / Math.max(1, performance.now() - this.#started)
    return { type: 'cache', what: 'pictures', done: this.#done, total: this.total, reused: this.#reused, perSecond }
  }
}

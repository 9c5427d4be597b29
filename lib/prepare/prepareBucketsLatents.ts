/** Latents beside pictures and training sizes in the metadata, as fine-tuning data sets of sd-scripts have them. */
import { constants } from 'node:fs'
import { access, rm, stat } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { dirname } from 'node:path'
import { loadVae } from '../checkpoints/loadVae.ts'
import { withShippedModel } from '../checkpoints/shippedModel.ts'
import { compareSizes, type Size } from '../data/buckets.ts'
import { hasLatentFile, latentFileName, writeLatentFile } from '../data/latentFiles.ts'
import { isHubId } from '../hub/hubId.ts'
import type { HubProgress } from '../hub/hubSnapshot.ts'
import { resolveHubModel } from '../hub/resolveHubModel.ts'
import { toIoError } from '../io/systemError.ts'
import { MetadataEntry } from '../metadata/metadataEntry.ts'
import { type Metadata, readMetadata } from '../metadata/readMetadata.ts'
import { writeMetadata } from '../metadata/writeMetadata.ts'
import type { Vae } from '../models/stableDiffusion/vae.ts'
import type { FloatDType } from '../tensor/dtype.ts'
import type { DeviceName } from '../tensor/tensor.ts'
import type { CacheEvent, WarningEvent } from '../train/events.ts'
import {
  compareTargets,
  type EncodedPicture,
  EncodingQueue,
  type ReadPicture,
  readPicture,
  type Shard,
  shardOf,
} from '../train/inputs/latentEncoder.ts'
import { expectDevice } from '../train/trainingDevice.ts'
import { DataError } from '../util/errors.ts'
import { mapAhead } from '../util/mapAhead.ts'
import { type PicturePlan, type PicturePlanOptions, type PlannedPicture, planPictures } from './planPictures.ts'

export interface PrepareLatentsOptions extends PicturePlanOptions {
  /** Metadata to be read; its fields are kept. */
  readonly inJson: string
  /** Metadata to be written, also over `inJson`. */
  readonly outJson: string
  /** A model or a VAE: a file, a folder or a hub id. */
  readonly model: string
  /** Pictures encoded at once. Default 1. */
  readonly batchSize?: number
  /** Type the VAE is computed in; files are float32. Default float32. */
  readonly dtype?: FloatDType
  /** Where pictures are encoded. Default cpu. */
  readonly device?: DeviceName
  /** Write the latents of mirrored pictures too; without it those of the pictures that are encoded are removed. Default false. */
  readonly flipAug?: boolean
  /** Keep files that are there and have the right size; nothing else is compared. Default false. */
  readonly skipExisting?: boolean
  /** The part of the pictures to encode; part 0 writes the metadata of all. Default: everything. */
  readonly shard?: Shard | undefined
  /** Aborting it ends the work after the batch in hand. Latents written stay; the metadata are not written. */
  readonly signal?: AbortSignal | undefined
  /** How the download of a model given by hub id goes. */
  readonly onDownload?: ((progress: HubProgress) => void) | undefined
}

/** Everything is written, or the work was interrupted. */
export interface PreparedEvent {
  readonly type: 'prepared'
  readonly reason: 'finished' | 'interrupted'
  /** Pictures by training size, by width, then height; those whose latents were there are counted too. */
  readonly buckets: readonly (Size & { readonly count: number })[]
  /** Mean of |aspect ratio of the bucket - that of the picture|; 0 without pictures. */
  readonly meanAspectError: number
  /** Pictures whose latents were written, and whose latents were there. */
  readonly encoded: number
  readonly kept: number
  /** Unreadable pictures that were left out. */
  readonly skipped: readonly string[]
  /** Entries of the metadata written; null when they were not. */
  readonly entries: number | null
}

export type PrepareLatentsEvent = CacheEvent | WarningEvent | PreparedEvent

/**
 * Encodes the pictures of a folder into `<name>.npz` and `<name>_flip.npz` (lib/data/latentFiles.ts) and sets their
 * `train_resolution` in the metadata. Pictures without an entry get one. The random numbers of a latent come from the picture, so
 * a second run writes the same bytes. The last event is `prepared`.
 *
 * @throws ConfigError for sizes that give no buckets, or a device that cannot be used; DataError when the folder or the metadata are missing, or pictures are
 *   unusable or share a name; CheckpointError or HubError for the model; IoError when something cannot be written. The metadata
 *   are written last, or not at all
 */
export async function* prepareBucketsLatents(
  options: PrepareLatentsOptions,
): AsyncGenerator<PrepareLatentsEvent, void, void> {
  const { inJson, outJson, signal, shard, workers = Math.min(8, availableParallelism()) } = options
  await expectDevice(options.device ?? 'cpu')
  const metadata = await openMetadata(inJson)
  await expectFolderOf(outJson)
  const plan = await planPictures({ ...options, workers })
  for (const message of [...metadata.warnings, ...plan.warnings]) yield { type: 'warning', message }
  const preparation = new Preparation(plan, { ...options, workers })
  yield* preparation.encodeAll()
  const used = plan.pictures.filter(({ path }) => !preparation.skipped.has(path))
  const isWritten = !signal?.aborted && (shard === undefined || shard.index === 0)
  if (isWritten) {
    setResolutions(metadata, used)
    await writeMetadata(outJson, metadata.entries)
  }
  yield {
    type: 'prepared',
    reason: signal?.aborted ? 'interrupted' : 'finished',
    buckets: countBuckets(used),
    meanAspectError: used.reduce((sum, { aspectError }) => sum + Math.abs(aspectError), 0) / Math.max(1, used.length),
    encoded: preparation.encoded,
    kept: preparation.kept,
    skipped: [...preparation.skipped],
    entries: isWritten ? metadata.entries.size : null,
  }
}

/** The encoding of all planned pictures that need it, and what became of them. */
class Preparation {
  encoded = 0
  kept = 0
  /** Paths of pictures that were left out. */
  readonly skipped: Set<string>
  readonly #own: readonly PlannedPicture[]
  readonly #options: PrepareLatentsOptions & { readonly workers: number }
  readonly #flips: readonly boolean[]
  readonly #started = performance.now()

  constructor(plan: PicturePlan, options: PrepareLatentsOptions & { readonly workers: number }) {
    const { shard, flipAug = false } = options
    this.skipped = new Set(plan.unreadable)
    this.#own = shard === undefined ? plan.pictures : shardOf(plan.pictures, shard)
    this.#options = options
    this.#flips = flipAug ? [false, true] : [false]
  }

  async *encodeAll(): AsyncGenerator<CacheEvent | WarningEvent, void, void> {
    const { batchSize = 1, signal, workers, onBadImage } = this.#options
    const work: PlannedPicture[] = []
    for (const picture of this.#own) if (!(await this.#isKept(picture))) work.push(picture)
    this.kept = this.#own.length - work.length
    if (this.kept > 0) yield this.#progress()
    if (work.length === 0 || signal?.aborted) return
    const vae = await openVae(this.#options)
    try {
      const queue = new EncodingQueue<PlannedPicture>(vae, batchSize)
      for await (const found of mapAhead(work.sort(compareTargets), workers - 1, (each) => this.#read(each))) {
        if (signal?.aborted) return
        if (!(found instanceof DataError)) yield* this.#write(await queue.add(found))
        else if (onBadImage !== 'skip') throw found
        else {
          this.skipped.add(found.path)
          yield { type: 'warning', message: `${found.message}; the picture is left out` }
        }
        if (signal?.aborted) return
      }
      yield* this.#write(await queue.finish())
    } finally {
      vae.dispose()
    }
  }

  async #isKept({ latents, crop: { target } }: PlannedPicture): Promise<boolean> {
    if (this.#options.skipExisting !== true) return false
    const size = { width: target.width / 8, height: target.height / 8 }
    for (const flip of this.#flips) if (!(await hasLatentFile(latentFileName(latents, flip), size))) return false
    return true
  }

  /** The pixels, or why there are none. */
  async #read(picture: PlannedPicture): Promise<ReadPicture<PlannedPicture> | DataError> {
    const { ignoreExif = false } = this.#options
    try {
      return await readPicture(picture, this.#flips, { ignoreExif }, async () => false)
    } catch (error) {
      if (error instanceof DataError) return error
      throw error
    }
  }

  async *#write(
    latents: readonly EncodedPicture<PlannedPicture>[],
  ): AsyncGenerator<CacheEvent | WarningEvent, void, void> {
    if (latents.length === 0) return
    for (const { request, flip, latent } of latents) {
      await writeLatentFile(latentFileName(request.latents, flip), latent)
      if (flip) continue
      this.encoded++
      if (this.#flips.length > 1) continue
      const stale = latentFileName(request.latents, true)
      if (await removeFile(stale))
        yield { type: 'warning', message: `${stale}: removed, because it belonged to the latents that were replaced` }
    }
    yield this.#progress()
  }

  #progress(): CacheEvent {
    const each = this.#flips.length
    return {
      type: 'cache',
      what: 'pictures',
      done: (this.encoded + this.kept) * each,
      total: this.#own.length * each,
      reused: this.kept * each,
      perSecond: (1000 * this.encoded * each) / Math.max(1, performance.now() - this.#started),
    }
  }
}

async function openMetadata(path: string): Promise<Metadata> {
  await stat(path).catch((error: unknown) => {
    const advice = 'make one with merge-captions-to-metadata or merge-dd-tags-to-metadata'
    throw new DataError(path, `there is no metadata file of that name: ${advice}`, { cause: error })
  })
  return readMetadata(path)
}

/** What is written last must not fail for a reason that is known before the work. */
async function expectFolderOf(path: string): Promise<void> {
  await access(dirname(path), constants.W_OK).catch((error: unknown) => {
    throw toIoError(path, 'write the metadata', error)
  })
}

async function openVae(options: PrepareLatentsOptions): Promise<Vae> {
  const { dtype = 'float32', device = 'cpu', signal, onDownload } = options
  const model = await withShippedModel(options.model)
  const isHere = await stat(model).then(
    () => true,
    () => false,
  )
  if (isHere || !isHubId(model)) return loadVae(model, { dtype, device })
  const { path } = await resolveHubModel(model, { kind: 'vae', signal, onProgress: onDownload })
  return loadVae(path, { dtype, device })
}

/** @returns whether there was such a file */
async function removeFile(path: string): Promise<boolean> {
  const isThere = await stat(path).then(
    () => true,
    () => false,
  )
  if (isThere)
    await rm(path, { force: true }).catch((error: unknown) => {
      throw toIoError(path, 'remove', error)
    })
  return isThere
}

function setResolutions({ entries }: Metadata, pictures: readonly PlannedPicture[]): void {
  for (const { key, crop } of pictures) {
    const entry = entries.get(key) ?? new MetadataEntry()
    entries.set(key, entry)
    entry.set('train_resolution', [crop.target.width, crop.target.height])
  }
}

function countBuckets(pictures: readonly PlannedPicture[]): (Size & { readonly count: number })[] {
  const counts = new Map<string, Size & { count: number }>()
  for (const { crop } of pictures) {
    const name = `${crop.target.width}x${crop.target.height}`
    const found = counts.get(name) ?? { ...crop.target, count: 0 }
    found.count++
    counts.set(name, found)
  }
  return [...counts.values()].sort(compareSizes)
}

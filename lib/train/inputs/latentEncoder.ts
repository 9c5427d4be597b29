/** From picture files to latents: reading that notices changes, and encoding whose random numbers come from the picture alone. */
import { stat } from 'node:fs/promises'
import type { ResizeInterpolation } from '../../config/datasetConfig.ts'
import type { CropPlan } from '../../data/cropPlan.ts'
import type { DecodedImage } from '../../data/image.ts'
import type { Latent } from '../../data/latentFiles.ts'
import { pictureKey, streamOfKey } from '../../data/latentKey.ts'
import { loadPicture, resizeMethod } from '../../data/loadPicture.ts'
import { sha256File } from '../../io/fileHash.ts'
import type { Vae } from '../../models/stableDiffusion/vae.ts'
import { concatBatch } from '../../ops/concatBatch.ts'
import { scope } from '../../tensor/scope.ts'
import { ArgumentError, DataError, IoError } from '../../util/errors.ts'
import { encodePictures, loadedTensor } from './latents.ts'

/** How a picture is to be used. */
export interface PictureRequest {
  readonly path: string
  readonly crop: CropPlan
  /** How it is resized. */
  readonly interpolation: ResizeInterpolation
}

/** A picture as far as it has been read. */
export interface ReadPicture<Request extends PictureRequest = PictureRequest> {
  readonly request: Request
  /** By orientation; see `pictureKey`. */
  readonly keys: ReadonlyMap<boolean, string>
  /** In its training size. Null where every latent was found. */
  readonly pixels: DecodedImage | null
  /** The orientations to be encoded. */
  readonly missing: readonly boolean[]
}

/**
 * Hashes a picture file and loads it in its training size if a latent of it is missing.
 *
 * @param flips the orientations asked for, as stored and mirrored
 * @param options `ignoreExif`: whether the orientation that EXIF tells is passed over
 * @param has whether there is a latent for a key
 * @throws DataError when the file cannot be read or decoded, changes meanwhile, or has another size than the plan was made for
 */
export async function readPicture<Request extends PictureRequest>(
  request: Request,
  flips: readonly boolean[],
  { ignoreExif }: { readonly ignoreExif: boolean },
  has: (key: string) => Promise<boolean>,
): Promise<ReadPicture<Request>> {
  const { path, crop, interpolation } = request
  const before = await stampOf(path)
  const fileHash = await sha256File(path).catch((error: unknown) => {
    throw error instanceof IoError ? new DataError(path, 'cannot be read', { cause: error }) : error
  })
  const method = resizeMethod(interpolation, crop)
  const keys = new Map(flips.map((flip) => [flip, pictureKey({ fileHash, ignoreExif, crop, method, flip })]))
  const missing: boolean[] = []
  for (const [flip, key] of keys) if (!(await has(key))) missing.push(flip)
  if (missing.length === 0) return { request, keys, pixels: null, missing }
  const pixels = await loadPicture(path, crop, { method, ignoreExif })
  if ((await stampOf(path)) !== before)
    throw new DataError(path, 'the picture changed while it was read: run again when nothing writes to it')
  return { request, keys, pixels, missing }
}

async function stampOf(path: string): Promise<string> {
  try {
    const { ino, size, mtimeNs } = await stat(path, { bigint: true })
    return `${ino}/${size}/${mtimeNs}`
  } catch (error) {
    throw new DataError(path, `cannot be read: ${(error as Error).message}`, { cause: error })
  }
}

/** A latent, whose it is and which orientation. */
export interface EncodedPicture<Request extends PictureRequest = PictureRequest> {
  readonly request: Request
  readonly flip: boolean
  /** See `pictureKey`. */
  readonly key: string
  readonly latent: Latent
}

/**
 * Encodes the missing orientations of pictures of one training size, those of an orientation together. The latent of a picture
 * is drawn with random numbers of its key, so it is the same in any batch, run and process, but for the rounding of another device.
 *
 * @throws DataError when a latent is not finite
 */
export async function encodeMissing<Request extends PictureRequest>(
  vae: Vae,
  pictures: readonly ReadPicture<Request>[],
): Promise<EncodedPicture<Request>[]> {
  const encoded: EncodedPicture<Request>[] = []
  const { device } = vae.registry
  for (const flip of [false, true]) {
    const batch = pictures.filter(({ missing }) => missing.includes(flip))
    if (batch.length === 0) continue
    const latents = scope(() => {
      const pixels = batch.map(({ pixels }) => loadedTensor(pixels!, { flip, color: undefined }, device))
      return encodePictures(
        vae,
        concatBatch(pixels),
        0n,
        batch.map(({ keys }) => streamOfKey(keys.get(flip)!)),
      )
    })
    const [, h, w, c] = latents.shape as readonly [number, number, number, number]
    const all = (await latents.read()) as Float32Array
    latents.dispose()
    batch.forEach(({ request, keys }, i) => {
      const values = all.slice(i * h * w * c, (i + 1) * h * w * c)
      if (!values.every(Number.isFinite)) throw new DataError(request.path, notFinite(vae))
      encoded.push({ request, flip, key: keys.get(flip)!, latent: { values, shape: [h, w, c] } })
    })
  }
  return encoded
}

function notFinite({ registry: { dtype } }: Vae): string {
  const advice = dtype === 'float32' ? 'use another VAE' : 'compute it in float32 (no_half_vae, or mixed_precision no)'
  return `the VAE, computed in ${dtype}, made a latent that is not finite: ${advice}`
}

/** Gathers pictures of one training size until there are enough to encode at once. Give it those of a size one after another. */
export class EncodingQueue<Request extends PictureRequest> {
  readonly #vae: Vae
  readonly #batchSize: number
  #waiting: ReadPicture<Request>[] = []

  /** @param batchSize pictures encoded at once, at least 1 */
  constructor(vae: Vae, batchSize: number) {
    this.#vae = vae
    this.#batchSize = batchSize
  }

  /** @returns what could not wait longer, often nothing */
  async add(picture: ReadPicture<Request>): Promise<EncodedPicture<Request>[]> {
    const { target } = picture.request.crop
    const before = this.#waiting[0]?.request.crop.target
    const isOther = before !== undefined && (before.width !== target.width || before.height !== target.height)
    const encoded = isOther ? await this.finish() : []
    this.#waiting.push(picture)
    return this.#waiting.length < this.#batchSize ? encoded : [...encoded, ...(await this.finish())]
  }

  /** Encodes what is left. */
  async finish(): Promise<EncodedPicture<Request>[]> {
    const batch = this.#waiting
    this.#waiting = []
    return encodeMissing(this.#vae, batch)
  }
}

/** Order of pictures to be encoded: by area, those of one size together. */
export function compareTargets(
  { crop: { target: a } }: PictureRequest,
  { crop: { target: b } }: PictureRequest,
): number {
  return a.width * a.height - b.width * b.height || a.width - b.width
}

/** One of `count` parts of a work, which have nothing in common and are together all of it. */
export interface Shard {
  /** From 0. */
  readonly index: number
  readonly count: number
}

/** The part of a list that a process works on: every `count`-th. @throws ArgumentError when there is no such part */
export function shardOf<T>(values: readonly T[], { index, count }: Shard): T[] {
  if (!Number.isInteger(count) || !Number.isInteger(index) || index < 0 || index >= count) {
    const expected = 'an index from 0 to below its count, whole numbers'
    throw new ArgumentError('shardOf', 'shard', expected, `${index} of ${count}`)
  }
  return values.filter((_, at) => at % count === index)
}

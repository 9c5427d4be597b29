/** Which pictures get latents beforehand, of which size, and under which names. */
import { basename } from 'node:path'
import {
  type BucketChoice,
  bucketResolutions,
  chooseBucket,
  chooseBucketNoUpscale,
  type Size,
} from '../data/buckets.ts'
import { planCrop } from '../data/cropPlan.ts'
import { throwCollected } from '../data/dataErrors.ts'
import { decodeImage } from '../data/image.ts'
import { readImageHeader } from '../data/imageHeader.ts'
import type { PictureRequest } from '../train/inputs/latentEncoder.ts'
import { ConfigError, DataError } from '../util/errors.ts'
import { mapLimited } from '../util/mapLimited.ts'
import { listToolImages, type ToolImage, tidyPath } from './toolImages.ts'

export interface PicturePlanOptions {
  /** The folder of the pictures. */
  readonly trainDataDir: string
  /** Whether keys are paths, as of the folder that was given, instead of names without extension. Default false. */
  readonly fullPath?: boolean
  /** Whether subfolders are looked into. Default false. */
  readonly recursive?: boolean
  /** Area of the training sizes as width and height in pixels. Default 512 and 512. */
  readonly maxResolution?: readonly [width: number, height: number]
  /** Shortest and longest side of the training sizes. Default 256 and 1024. */
  readonly minBucketReso?: number
  readonly maxBucketReso?: number
  /** Sides are multiples of this. Default 64. */
  readonly bucketResoSteps?: number
  /** Never enlarge pictures; the shortest and longest side do not count then. Default false. */
  readonly bucketNoUpscale?: boolean
  /** Take pictures as they lie in the file, whatever orientation EXIF tells. Default false. */
  readonly ignoreExif?: boolean
  /** Whether an unreadable picture ends the work or is left out with a warning. Default error. */
  readonly onBadImage?: 'error' | 'skip'
  /** Pictures read at a time. Default 8, at most the number of processors. */
  readonly workers?: number
}

export interface PlannedPicture extends PictureRequest {
  /** In the metadata. */
  readonly key: string
  /** Path of its latents without `.npz`. */
  readonly latents: string
  readonly aspectError: number
}

export interface PicturePlan {
  /** In the order of the folder. */
  readonly pictures: readonly PlannedPicture[]
  /** Paths of pictures that are left out. */
  readonly unreadable: readonly string[]
  readonly warnings: readonly string[]
}

/** Latents are this many pixels to the side: training sizes are cut down to multiples. */
const LATENT_PIXELS = 8

/**
 * Lists the pictures of a folder, reads their sizes and chooses a bucket for each.
 *
 * @throws DataError when there are no pictures, when two would share an entry or a file of latents, and, unless they are left
 *   out, naming all pictures that cannot be read; ConfigError for sizes that give no buckets
 */
export async function planPictures(options: PicturePlanOptions & { readonly workers: number }): Promise<PicturePlan> {
  const { trainDataDir, recursive = false, bucketResoSteps = 64, ignoreExif = false, onBadImage = 'error' } = options
  const choose = bucketChooser(options)
  const warnings: string[] = []
  if (bucketResoSteps % LATENT_PIXELS !== 0)
    warnings.push(
      `bucket_reso_steps ${bucketResoSteps} is no multiple of 8: training sizes are cut down to multiples of 8`,
    )
  const images = await listToolImages(trainDataDir, { recursive })
  if (images.length === 0) throw new DataError(trainDataDir, 'there are no pictures in this folder')
  const named = images.map((image) => ({ image, ...namesOf(image, options) }))
  throwCollected([...sharedNames(named, ({ key }) => key), ...sharedNames(named, ({ latents }) => `${latents}.npz`)])

  const planned = await mapLimited(named, options.workers, async ({ image, key, latents }) => {
    try {
      const { width, height, looksComplete } = await readImageHeader(image.path, { ignoreExif })
      if (!looksComplete) await decodeImage(image.path, { ignoreExif })
      return planPicture(image.path, key, latents, { width, height }, choose)
    } catch (error) {
      if (error instanceof DataError) return error
      throw error
    }
  })
  const errors = planned.filter((each) => each instanceof DataError)
  if (onBadImage === 'error') throwCollected(errors)
  for (const { message } of errors) warnings.push(`${message}; the picture is left out`)
  return {
    pictures: planned.filter((each): each is PlannedPicture => !(each instanceof DataError)),
    unreadable: errors.map(({ path }) => path),
    warnings,
  }
}

/** The key of a picture and the path of its latents: beside it with full paths, otherwise directly in the folder given. */
function namesOf(
  { path, base, stem }: ToolImage,
  { trainDataDir, fullPath = false }: PicturePlanOptions,
): {
  readonly key: string
  readonly latents: string
} {
  if (fullPath) return { key: path, latents: base }
  const folder = tidyPath(trainDataDir)
  return { key: stem, latents: folder === '.' ? stem : `${folder.replace(/\/$/, '')}/${stem}` }
}

interface Named {
  readonly image: ToolImage
  readonly key: string
  readonly latents: string
}

function sharedNames(named: readonly Named[], nameOf: (each: Named) => string): DataError[] {
  const first = new Map<string, string>()
  const errors: DataError[] = []
  for (const each of named) {
    const name = nameOf(each)
    const { path } = each.image
    const other = first.get(name)
    if (other === undefined) first.set(name, path)
    else
      errors.push(
        new DataError(
          path,
          `would share ${JSON.stringify(name)} with ${basename(other)} (${other}): rename one of them`,
        ),
      )
  }
  return errors
}

function planPicture(
  path: string,
  key: string,
  latents: string,
  size: Size,
  choose: (size: Size) => BucketChoice,
): PlannedPicture {
  const { bucket, resized, aspectError } = choose(size)
  const floor = (side: number): number => side - (side % LATENT_PIXELS)
  const target = { width: floor(bucket.width), height: floor(bucket.height) }
  if (target.width < 1 || target.height < 1) {
    const found = `the picture (${size.width}x${size.height}) is too small or too narrow for bucket_no_upscale`
    throw new DataError(path, `${found}: each side must be at least bucket_reso_steps. Remove or enlarge it`)
  }
  const crop = { ...planCrop(size, { bucket, resized, aspectError }), target }
  return { path, key, latents, crop, interpolation: 'area', aspectError }
}

function bucketChooser(options: PicturePlanOptions): (size: Size) => BucketChoice {
  const { maxResolution = [512, 512], minBucketReso = 256, maxBucketReso = 1024, bucketResoSteps = 64 } = options
  const [width, height] = maxResolution
  const numbers = { max_resolution: Math.min(width, height), bucket_reso_steps: bucketResoSteps }
  for (const [option, value] of Object.entries(numbers))
    if (!Number.isInteger(value) || value < 1)
      throw new ConfigError(`${option} must be positive whole numbers, found ${value}`, { option })
  const resolution = { width, height }
  if (options.bucketNoUpscale) return (size) => chooseBucketNoUpscale(size, resolution, bucketResoSteps)
  if (maxBucketReso < Math.max(width, height, minBucketReso)) {
    const least = `max_resolution ${width},${height} and min_bucket_reso ${minBucketReso}`
    const message = `max_bucket_reso ${maxBucketReso} must not be below ${least}`
    throw new ConfigError(message, { option: 'max_bucket_reso' })
  }
  const buckets = bucketResolutions({
    resolution,
    minimum: minBucketReso,
    maximum: maxBucketReso,
    steps: bucketResoSteps,
  })
  return (size) => chooseBucket(size, buckets)
}

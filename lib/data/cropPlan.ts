import { type BucketChoice, compareSizes, type Size } from './buckets.ts'

/** How a decoded picture becomes one of training size: resize, then cut out a window. */
export interface CropPlan {
  /** The size the picture must have when decoded. */
  readonly source: Size
  /** The size to resize to; equal to `source` when nothing is to be resized. */
  readonly resized: Size
  /** Top left corner of the window in the resized picture. */
  readonly left: number
  readonly top: number
  /** The training size. */
  readonly target: Size
}

/** The plan for a picture in its bucket: resize to cover it, then crop the excess equally on both sides. */
export function planCrop(image: Size, { bucket, resized }: BucketChoice): CropPlan {
  return {
    source: image,
    resized,
    left: Math.floor((resized.width - bucket.width) / 2),
    top: Math.floor((resized.height - bucket.height) / 2),
    target: bucket,
  }
}

/** As `planCrop`, but with the window anywhere in the resized picture. Draws one number for each side with an excess, the width first. */
export function planRandomCrop(image: Size, choice: BucketChoice, random: CropRandom): CropPlan {
  const plan = planCrop(image, choice)
  const { resized, target } = plan
  const left = placeWindow(resized.width, target.width, random)
  const top = placeWindow(resized.height, target.height, random)
  return { ...plan, left, top }
}

/**
 * The plan for a picture that is not resized, as without buckets: a window of the target's size anywhere in it. Draws for the height
 * first. The picture must be at least as large as the target, see `uncachedSizeProblem`.
 */
export function planRandomWindow(image: Size, target: Size, random: CropRandom): CropPlan {
  const top = placeWindow(image.height, target.height, random)
  const left = placeWindow(image.width, target.width, random)
  return { source: image, resized: image, left, top, target }
}

/** Where random places come from; `PhiloxStream` is one. */
export interface CropRandom {
  /** Uniform in [0, 1). */
  float(): number
  /** From 0 to `bound - 1`. */
  integer(bound: number): number
}

/** A start from 0 to the excess, both included. */
function placeWindow(length: number, window: number, random: CropRandom): number {
  const excess = length - window
  return excess > 0 ? random.integer(excess + 1) : 0
}

/** What newer models are conditioned on. */
export interface CropRecord {
  /** Width and height of the picture itself. */
  readonly originalSize: readonly [width: number, height: number]
  /** The picture's edges in the bucket's pixels, were it fitted inside: left, top, right, bottom. */
  readonly cropLtrb: readonly [left: number, top: number, right: number, bottom: number]
}

/**
 * The record of a use, as sd-scripts keeps it from v0.7 on: of the sizes alone, wherever the window really is. In a mirrored picture the
 * left edge is what was the right one, and the right edge stays.
 */
export function cropRecord({ source, target }: CropPlan, flip: boolean): CropRecord {
  const { width, height } = target
  const ratio = source.width / source.height
  const isWider = width / height > ratio
  const shownWidth = isWider ? height * ratio : width
  const shownHeight = isWider ? height : width / ratio
  const left = Math.floor((width - shownWidth) / 2)
  const top = Math.floor((height - shownHeight) / 2)
  const right = left + shownWidth
  return {
    originalSize: [source.width, source.height],
    cropLtrb: [flip ? width - right : left, top, right, top + shownHeight],
  }
}

/**
 * Why a picture cannot be used as it is when bucketing is off and latents are not cached; undefined when it can. Such pictures are never
 * resized: only the exact size fits, and with `randomCrop` anything larger.
 */
export function uncachedSizeProblem(
  image: Size,
  resolution: Size,
  { randomCrop = false }: { readonly randomCrop?: boolean } = {},
): string | undefined {
  if (compareSizes(image, resolution) === 0) return undefined
  if (randomCrop && image.width >= resolution.width && image.height >= resolution.height) return undefined
  const found = `${image.width}x${image.height}`
  const expected = `${randomCrop ? 'smaller than the resolution' : 'not the resolution'}, ${resolution.width}x${resolution.height}`
  return `the picture is ${found}, ${expected}: without buckets pictures are not resized. Set enable_bucket, or cache latents (--cache_latents), or resize it`
}

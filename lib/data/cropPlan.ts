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

/**
 * Why a picture cannot be used as it is when bucketing is off and latents are not cached; undefined when it can. Such pictures
 * are never resized, so only the exact size fits.
 */
export function uncachedSizeProblem(image: Size, resolution: Size): string | undefined {
  if (compareSizes(image, resolution) === 0) return undefined
  const found = `${image.width}x${image.height}`
  const expected = `${resolution.width}x${resolution.height}`
  return `the picture is ${found} but the resolution is ${expected}: without buckets pictures are not resized. Set enable_bucket, or cache latents (--cache_latents), or resize it`
}

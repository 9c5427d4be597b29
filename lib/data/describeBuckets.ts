import type { Size } from './buckets.ts'
import type { Dataset, DatasetImage } from './dataset.ts'

/** What becomes of the pictures of one training size. */
export interface BucketDescription {
  readonly size: Size
  /** Pictures, each as often as it repeats. */
  readonly count: number
  /** Pictures, each once. */
  readonly images: number
  /** Pictures that are enlarged. */
  readonly upscaled: number
  /** The mean share of a resized picture's area that is cut off. */
  readonly croppedShare: number
}

/** The sizes in use, by width, then height; without buckets there is one. */
export function describeBuckets({ buckets, images }: Pick<Dataset, 'buckets' | 'images'>): BucketDescription[] {
  const inBuckets = buckets.map((): DatasetImage[] => [])
  for (const image of images) inBuckets[image.bucket]!.push(image)
  return buckets.map(({ size, entries }, at) => {
    const own = inBuckets[at]!
    const cropped = own.reduce((sum, image) => sum + croppedShare(image), 0)
    return {
      size,
      count: entries.length,
      images: own.length,
      upscaled: own.filter(isUpscaled).length,
      croppedShare: own.length === 0 ? 0 : cropped / own.length,
    }
  })
}

/** Whether a side of the picture grows on the way to its training size. */
export function isUpscaled({ crop: { source, resized } }: DatasetImage): boolean {
  return resized.width > source.width || resized.height > source.height
}

function croppedShare({ crop: { resized, target } }: DatasetImage): number {
  return 1 - (target.width * target.height) / (resized.width * resized.height)
}

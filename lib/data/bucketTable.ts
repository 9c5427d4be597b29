import type { Size } from './buckets.ts'
import type { Dataset } from './dataset.ts'

/** One bucket of a data set: how many pictures it holds, and what is done to them to fit. */
export interface BucketRow extends Size {
  /** Index of the data set in the group. */
  readonly dataset: number
  /** Pictures, each once. */
  readonly images: number
  /** Pictures with their repeats. */
  readonly uses: number
  readonly batches: number
  /** Pictures smaller than the bucket, which are enlarged. */
  readonly enlarged: number
  /** Mean share of a picture's area that is cut off. */
  readonly croppedShare: number
}

/** The buckets of a data set in their order. Every picture counts once in the means. */
export function bucketTable({ index, config, buckets, images }: Dataset): BucketRow[] {
  return buckets.map(({ size, entries }, at): BucketRow => {
    const own = images.filter(({ bucket }) => bucket === at)
    const cropped = own.reduce((sum, { crop: { resized, target } }) => {
      return sum + 1 - (target.width * target.height) / (resized.width * resized.height)
    }, 0)
    return {
      ...size,
      dataset: index,
      images: own.length,
      uses: entries.length,
      batches: Math.ceil(entries.length / config.batchSize),
      enlarged: own.filter(({ crop: { source, resized } }) => {
        return resized.width > source.width || resized.height > source.height
      }).length,
      croppedShare: own.length === 0 ? 0 : cropped / own.length,
    }
  })
}

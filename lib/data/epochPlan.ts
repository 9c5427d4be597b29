/** Which pictures an epoch's batches hold, in which order: a pure function of the data, the seed and the epoch. */
import { PhiloxStream } from '../util/philox.ts'
import type { DatasetGroup } from './datasetGroup.ts'

/** One use of a picture in an epoch. */
export interface PlannedItem {
  /** Index in `Dataset.images`. */
  readonly image: number
  /** The use's place in the dataset's canonical order; keys the randomness of this use. */
  readonly position: number
}

export interface PlannedBatch {
  /** Index in `DatasetGroup.datasets`. */
  readonly dataset: number
  /** Index in `Dataset.buckets`. */
  readonly bucket: number
  readonly items: readonly PlannedItem[]
}

type PlannedGroup = Pick<DatasetGroup, 'seed' | 'datasets'>

/**
 * The batches of an epoch. Each bucket's pictures are shuffled from their canonical order and cut into batches, of which the
 * last may be smaller; then the batches of all buckets and datasets are shuffled together. Every picture appears exactly as
 * often as it repeats, and a batch never mixes sizes.
 *
 * @param epoch any whole number; trainers count from 1
 */
export function planEpoch({ seed, datasets }: PlannedGroup, epoch: number): PlannedBatch[] {
  const batches: PlannedBatch[] = []
  for (const { index: dataset, config, buckets } of datasets) {
    let firstPosition = 0
    for (const [bucket, { entries }] of buckets.entries()) {
      const items = entries.map((image, at): PlannedItem => ({ image, position: firstPosition + at }))
      new PhiloxStream(seed, 'bucket order', epoch, dataset, bucket).shuffle(items)
      for (let start = 0; start < items.length; start += config.batchSize) {
        batches.push({ dataset, bucket, items: items.slice(start, start + config.batchSize) })
      }
      firstPosition += entries.length
    }
  }
  return new PhiloxStream(seed, 'batch order', epoch).shuffle(batches)
}

/** Batches of an epoch: captions as they are used, mirroring, and pixels decoded ahead of need. */
import { ArgumentError, DataError } from '../util/errors.ts'
import { PhiloxStream } from '../util/philox.ts'
import type { Size } from './buckets.ts'
import { processCaption } from './captions.ts'
import type { DatasetImage } from './dataset.ts'
import type { DatasetGroup } from './datasetGroup.ts'
import { type PlannedBatch, type PlannedItem, planEpoch } from './epochPlan.ts'
import { type DecodedImage, decodeImage } from './image.ts'

/** One use of a picture. Everything but the pixels. */
export interface BatchItem {
  readonly image: DatasetImage
  /** The caption for this use, tags shuffled where the subset asks for it. */
  readonly caption: string
  /** Whether to mirror left to right, after cropping. */
  readonly flip: boolean
  readonly lossWeight: number
}

export interface Batch {
  /** Index of the dataset in the group. */
  readonly dataset: number
  /** Training size of every item. */
  readonly size: Size
  readonly items: readonly BatchItem[]
}

/** An item with its decoded picture, of `image.crop.source` size: still to be resized, cropped and mirrored. */
export interface PixelItem extends BatchItem {
  readonly pixels: DecodedImage
}

export interface PixelBatch extends Batch {
  readonly items: readonly PixelItem[]
}

export interface EpochOptions {
  /** Batches to pass over, to resume within an epoch. Default 0. */
  readonly from?: number
}

export interface ReadOptions extends EpochOptions {
  /** Batches decoded ahead of the one in use. Default 2. */
  readonly prefetch?: number
  /** How a picture is decoded. Default `decodeImage`. */
  readonly decode?: (path: string) => Promise<DecodedImage>
}

/**
 * The batches of an epoch without pixels, for training from cached latents. Captions and flips depend on the seed, the epoch
 * and the use alone, so skipping or prefetching changes nothing.
 */
export function* epochBatches(group: DatasetGroup, epoch: number, { from = 0 }: EpochOptions = {}): Generator<Batch> {
  for (const planned of planEpoch(group, epoch).slice(from)) yield drawBatch(group, epoch, planned)
}

function drawBatch(group: DatasetGroup, epoch: number, { dataset: index, bucket, items }: PlannedBatch): Batch {
  const dataset = group.datasets[index]!
  const draw = ({ image: imageIndex, position }: PlannedItem): BatchItem => {
    const image = dataset.images[imageIndex]!
    const { subset, lossWeight } = image
    const key = [epoch, index, position] as const
    const use = { epoch, step: 0, totalSteps: 0 }
    const caption = processCaption(image.caption, subset, use, new PhiloxStream(group.seed, 'caption', ...key))
    const flip = subset.flipAug && new PhiloxStream(group.seed, 'flip', ...key).float() < 0.5
    return { image, caption, flip, lossWeight }
  }
  return { dataset: index, size: dataset.buckets[bucket]!.size, items: items.map(draw) }
}

/**
 * The batches of an epoch with decoded pictures, in plan order. Up to `prefetch` further batches are decoded while one is in
 * use; leaving the loop starts no more.
 *
 * @throws DataError when a picture cannot be decoded, or is no longer of the size it had when the data were loaded
 */
export async function* readBatches(
  group: DatasetGroup,
  epoch: number,
  { from = 0, prefetch = 2, decode = decodeImage }: ReadOptions = {},
): AsyncGenerator<PixelBatch, void, void> {
  if (!Number.isInteger(prefetch) || prefetch < 0) {
    throw new ArgumentError('readBatches', 'prefetch', 'a whole number of at least 0', String(prefetch))
  }
  const waiting: Promise<PixelBatch>[] = []
  const source = epochBatches(group, epoch, { from })
  for (;;) {
    while (waiting.length <= prefetch) {
      const { value: batch } = source.next() as IteratorResult<Batch, undefined>
      if (batch === undefined) break
      const read = readPixels(batch, decode)
      // A failure is raised when its turn comes; should the loop be left before, it must not count as unhandled.
      read.catch(() => undefined)
      waiting.push(read)
    }
    const next = waiting.shift()
    if (next === undefined) return
    yield await next
  }
}

async function readPixels(batch: Batch, decode: (path: string) => Promise<DecodedImage>): Promise<PixelBatch> {
  const items = batch.items.map(async (item): Promise<PixelItem> => {
    const { path, crop } = item.image
    const pixels = await decode(path)
    const { width, height } = crop.source
    if (pixels.width !== width || pixels.height !== height) {
      const message = `the picture is now ${pixels.width}x${pixels.height} but was ${width}x${height} at the start: do not change pictures during training`
      throw new DataError(path, message)
    }
    return { ...item, pixels }
  })
  return { ...batch, items: await Promise.all(items) }
}

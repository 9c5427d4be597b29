/** Batches of an epoch: captions as they are used, mirroring, and pixels decoded ahead of need. */
import { PhiloxStream } from '../util/philox.ts'
import type { Size } from './buckets.ts'
import { type CaptionUse, processCaption } from './captions.ts'
import { type ColorChange, drawColorChange } from './colorChange.ts'
import {
  type CropPlan,
  type CropRandom,
  type CropRecord,
  cropRecord,
  planRandomCrop,
  planRandomWindow,
} from './cropPlan.ts'
import type { DatasetImage } from './dataset.ts'
import type { DatasetGroup } from './datasetGroup.ts'
import { type PlannedItem, planEpoch } from './epochPlan.ts'
import { planFaceCrop } from './faceCrop.ts'
import type { DecodedImage } from './image.ts'
import { type LoaderOptions, loadBatches } from './loader.ts'
import { loadPicture, resizeMethod } from './loadPicture.ts'

/** One use of a picture. Everything but the pixels. */
export interface BatchItem extends CropRecord {
  readonly image: DatasetImage
  /** The caption for this use, changed as the subset asks for. */
  readonly caption: string
  /** Whether to mirror left to right, after cropping. */
  readonly flip: boolean
  readonly lossWeight: number
  /** How the picture is resized and cropped in this use. */
  readonly crop: CropPlan
  /** Undefined: colours stay. */
  readonly color: ColorChange | undefined
}

export interface Batch {
  /** Index of the dataset in the group. */
  readonly dataset: number
  /** Training size of every item. */
  readonly size: Size
  readonly items: readonly BatchItem[]
}

/** An item with its picture, resized and cropped to `crop.target`: still to be changed in colour and mirrored. */
export interface PixelItem extends BatchItem {
  readonly pixels: DecodedImage
}

export interface PixelBatch extends Batch {
  readonly items: readonly PixelItem[]
}

/** Where in the training an epoch stands, for captions that grow with it. */
export interface EpochProgress {
  /** Optimizer steps before this epoch. */
  readonly firstStep: number
  /** Batches that add up to one optimizer step. */
  readonly batchesPerStep: number
  /** Optimizer steps of the whole training. */
  readonly totalSteps: number
}

export interface EpochOptions {
  /** Batches to pass over, to resume within an epoch. Default 0. */
  readonly from?: number
  /**
   * Default: epochs are counted from 1, and each batch is a step of a training whose length is not known: warm-ups given as a
   * share of it have no effect.
   */
  readonly progress?: EpochProgress | undefined
}

export interface PictureOptions {
  /** How a picture is read. Default `loadPicture`. */
  readonly read?: typeof loadPicture
  /** Whether the orientation that EXIF data tell is passed over, as it was when the data were loaded. Default false. */
  readonly ignoreExif?: boolean | undefined
}

export interface ReadOptions extends EpochOptions, LoaderOptions, PictureOptions {}

/**
 * The batches of an epoch without pixels, for training from cached latents. Captions, crops, colours and flips depend on the
 * seed, the epoch and the use alone, and captions on the step where tags come in one by one; so skipping or prefetching changes nothing.
 */
export function* epochBatches(
  group: DatasetGroup,
  epoch: number,
  { from = 0, progress }: EpochOptions = {},
): Generator<Batch, void, void> {
  const plan = planEpoch(group, epoch)
  for (let at = from; at < plan.length; at++) {
    const { dataset, bucket, items } = plan[at]!
    const moment = momentOf(group, epoch, at, progress)
    const { size } = group.datasets[dataset]!.buckets[bucket]!
    yield { dataset, size, items: items.map((item) => drawItem(group, dataset, item, moment)) }
  }
}

/** One place of an epoch's plan. */
export interface BatchPlace extends Pick<EpochOptions, 'progress'> {
  readonly epoch: number
  /** Number of the batch in the epoch, and of the item in it. */
  readonly batch: number
  readonly slot: number
}

/**
 * What takes the place of a picture that cannot be used: the use is the same, and the picture another usable one of the bucket, of
 * regularization pictures such a one if there is any. Each place of a batch looks first at a share of the bucket of its own, and
 * last at what the batch already has, so that none is in it twice while others are left. Which it is depends on which pictures can
 * be used, and on nothing else.
 * @returns undefined when no picture of the bucket can be used
 */
export function standIn(
  group: DatasetGroup,
  { epoch, batch, slot, progress }: BatchPlace,
  isUsable: (image: DatasetImage) => boolean,
): BatchItem | undefined {
  const { dataset: index, bucket, items } = planEpoch(group, epoch)[batch]!
  const { image: planned, position } = items[slot]!
  const { images, buckets } = group.datasets[index]!
  const entries = [...new Set(buckets[bucket]!.entries)]
  const start = entries.indexOf(planned)
  const inBatch = new Set(items.map((item) => item.image))
  const free = entries.filter((image) => !inBatch.has(image))
  const own = new Set(free.filter((_, at) => at % items.length === slot))
  const { isReg } = images[planned]!.subset
  const penalty = (image: number): number =>
    (images[image]!.subset.isReg === isReg ? 0 : 4) + (inBatch.has(image) ? 2 : 0) + (own.has(image) ? 0 : 1)
  const others = [...entries.slice(start + 1), ...entries.slice(0, start)].filter((image) => isUsable(images[image]!))
  const [image] = others.sort((a, b) => penalty(a) - penalty(b))
  if (image === undefined) return undefined
  return drawItem(group, index, { image, position }, momentOf(group, epoch, batch, progress))
}

function momentOf(group: DatasetGroup, epoch: number, batch: number, progress?: EpochProgress): CaptionUse {
  const { firstStep, batchesPerStep, totalSteps } = progress ?? {
    firstStep: (epoch - 1) * group.batchesPerEpoch,
    batchesPerStep: 1,
    totalSteps: 0,
  }
  return { epoch, step: firstStep + Math.floor(batch / batchesPerStep), totalSteps }
}

function drawItem(group: DatasetGroup, index: number, planned: PlannedItem, moment: CaptionUse): BatchItem {
  const { images, config } = group.datasets[index]!
  const image = images[planned.image]!
  const { subset, lossWeight } = image
  const random = (purpose: string): PhiloxStream =>
    new PhiloxStream(group.seed, purpose, moment.epoch, index, planned.position)
  const flip = subset.flipAug && random('flip').float() < 0.5
  return {
    image,
    caption: processCaption(image.caption, subset, moment, random('caption')),
    crop: drawCrop(image, config.enableBucket, random('crop')),
    color: subset.colorAug ? drawColorChange(random('color')) : undefined,
    flip,
    lossWeight,
    ...cropRecord(image.crop, flip),
  }
}

/** The crop of one use: around the face, or anywhere where the subset asks for it, or that of all uses. */
function drawCrop(image: DatasetImage, enableBucket: boolean, random: CropRandom): CropPlan {
  const { crop, face, subset, aspectError } = image
  const { randomCrop, faceCropAugRange: range } = subset
  const { source, resized, target } = crop
  if (face !== undefined && range !== undefined)
    return planFaceCrop(source, target, face, { range, randomCrop }, random) ?? crop
  if (!randomCrop) return crop
  return enableBucket
    ? planRandomCrop(source, { bucket: target, resized, aspectError }, random)
    : planRandomWindow(source, target, random)
}

/**
 * The batches of an epoch with their pictures, in plan order; those of subsets with `alpha_mask` with their opacity. Up to
 * `prefetch` further batches are read while one is in use; leaving the loop starts no more.
 *
 * @throws DataError when a picture cannot be decoded, or is no longer of the size it had when the data were loaded
 */
export async function* readBatches(
  group: DatasetGroup,
  epoch: number,
  options: ReadOptions = {},
): AsyncGenerator<PixelBatch, void, void> {
  const read = (item: BatchItem): Promise<DecodedImage> => readPicture(item, options)
  for await (const { batch, loaded } of loadBatches(epochBatches(group, epoch, options), read, options)) {
    yield { ...batch, items: batch.items.map((item, at) => ({ ...item, pixels: loaded[at]! })) }
  }
}

/** The picture of one use in its training size, not yet mirrored nor changed in colour. Errors as for `loadPicture`. */
export async function readPicture(
  { image: { path, subset }, crop }: BatchItem,
  { read = loadPicture, ignoreExif = false }: PictureOptions,
): Promise<DecodedImage> {
  const { alphaMask: alpha, resizeInterpolation } = subset
  return read(path, crop, { method: resizeMethod(resizeInterpolation, crop), ignoreExif, alpha })
}

/** What a training would do with its data, and what it would need, before any model is loaded. */
import { availableParallelism } from 'node:os'
import { type FileReport, inspectFile } from '../../checkpoints/inspect.ts'
import { type SubsetConfig, subsetPlace } from '../../config/datasetConfig.ts'
import type { Dataset } from '../../data/dataset.ts'
import type { DatasetGroup } from '../../data/datasetGroup.ts'
import { type BucketDescription, describeBuckets } from '../../data/describeBuckets.ts'
import { distinctCaptions } from '../../data/distinctCaptions.ts'
import type { ModelPart } from '../../models/stableDiffusion/stableDiffusion.ts'
import { IoError } from '../../util/errors.ts'
import { type CaptionedConfig, type ShownCaptions, showCaptions } from '../inputs/shownCaptions.ts'
import { keptWeightsBudget } from '../keptWeights.ts'
import type { TrainConfig, TrainNetworkConfig } from '../trainConfig.ts'
import { estimateMemory, type MemoryShare } from './memoryEstimate.ts'
import { planStart } from './runStart.ts'
import { planSteps } from './schedule.ts'

export interface PlannedSubset {
  readonly dataset: number
  /** Folder or metadata file. */
  readonly place: string
  /** Trained on. */
  readonly images: number
  /** Measured instead (`validation_split`). */
  readonly heldOut: number
  /** Of those trained on, pictures that are turned upright as their EXIF data say. */
  readonly turned: number
  readonly repeats: number
  readonly isReg: boolean
}

export interface PlannedBucket extends BucketDescription {
  readonly dataset: number
  readonly batches: number
}

export interface LongCaption {
  readonly path: string
  readonly tokens: number
}

export interface TrainingPlan {
  readonly subsets: readonly PlannedSubset[]
  readonly buckets: readonly PlannedBucket[]
  /** Repeats included. */
  readonly trainImageCount: number
  readonly regImageCount: number
  /** Pictures that are measured and not trained on. */
  readonly heldOutCount: number
  readonly batchesPerEpoch: number
  readonly stepsPerEpoch: number
  readonly totalSteps: number
  /** Of those, what a later beginning leaves out (`--initial_step`, `--initial_epoch`). */
  readonly skippedSteps: number
  readonly epochCount: number
  readonly captions: {
    /** Tokens that are used of a caption. */
    readonly limit: number
    readonly total: number
    /** Captions that can have more tokens than that in a use of their pictures, the longest first. */
    readonly overLimit: readonly LongCaption[]
  }
  /** Bytes written into caches, of which those that are there already are not written again. */
  readonly diskBytes: number
  /** What they are. */
  readonly disk: readonly MemoryShare[]
  /** Rough; the weights are missing where the model cannot be looked at. */
  readonly memory: readonly MemoryShare[]
  readonly warnings: readonly string[]
}

/** What of a configuration a plan depends on. */
export type PlannedConfig = Pick<TrainConfig, 'model' | 'data' | 'training'> &
  Partial<Pick<TrainConfig, 'optimizer' | 'preview'>> &
  Pick<CaptionedConfig, 'inversion'> & {
    readonly network?: Pick<TrainNetworkConfig['network'], 'dim'>
  }

/**
 * Describes the training of a group whose pictures have been scanned. Of the model, indexes are read and nothing else.
 * @param trainedParts parts whose own weights are trained, as the kind of training says. Default: none
 * @throws ConfigError when a later beginning leaves nothing to train
 */
export async function planTraining(
  group: DatasetGroup,
  config: PlannedConfig,
  trainedParts: readonly ModelPart[] = [],
): Promise<TrainingPlan> {
  const { model, data, training, network } = config
  const captions = await showCaptions(config, group.seed)
  const { datasets, batchesPerEpoch } = group
  const { gradientAccumulationSteps } = training
  const steps = planSteps(batchesPerEpoch, training)
  const { position, lastStep } = planStart(training.start, steps, { batchesPerEpoch, gradientAccumulationSteps })
  const toDisk = data.cacheLatentsToDisk === true
  const cached = data.cacheLatents || toDisk
  const heldOut = group.heldOut?.datasets ?? []
  const latentBytes = cached ? [...datasets, ...heldOut].reduce((sum, dataset) => sum + latentBytesOf(dataset), 0) : 0
  const report = await reportOf(model.path)
  const textToDisk = data.cacheTextEncoderOutputsToDisk === true
  const textBytes =
    data.cacheTextEncoderOutputs || textToDisk ? captionBytesOf(group, { model, training }, captions) : 0
  const disk = [
    { what: 'cached latents', bytes: toDisk ? latentBytes : 0 },
    { what: 'encoded captions', bytes: textToDisk ? textBytes : 0 },
  ].filter(({ bytes }) => bytes > 0)
  const pictures = datasets.flatMap(({ images }) => images)
  return {
    subsets: datasets.flatMap(({ index, subsets }) =>
      subsets.map(({ config, images }) => ({
        dataset: index,
        place: subsetPlace(config),
        images: images.length,
        heldOut: heldOutOf(heldOut[index], config),
        turned: images.filter(({ orientation }) => orientation !== 1).length,
        repeats: config.numRepeats,
        isReg: config.isReg,
      })),
    ),
    buckets: datasets.flatMap(planBuckets),
    trainImageCount: group.trainImageCount,
    regImageCount: group.regImageCount,
    heldOutCount: heldOut.reduce((sum, { images }) => sum + images.length, 0),
    batchesPerEpoch,
    stepsPerEpoch: Math.ceil(batchesPerEpoch / gradientAccumulationSteps),
    ...steps,
    skippedSteps: steps.totalSteps - (lastStep - position.step),
    captions: countCaptions(group, captions),
    diskBytes: disk.reduce((sum, { bytes }) => sum + bytes, 0),
    disk,
    memory: estimateMemory({
      mixedPrecision: training.mixedPrecision,
      fullPrecision: training.fullPrecision ?? false,
      trainedParts,
      fusedBackward: training.fusedBackwardPass ?? false,
      ...(typeof config.optimizer?.type === 'string' && { optimizer: config.optimizer.type }),
      networkRank: network === undefined ? 0 : (network.dim ?? 4),
      eightBitParts: training.eightBitParts ?? [],
      cached: { latents: cached, captions: data.cacheTextEncoderOutputs === true },
      previews: (config.preview?.promptFile ?? null) !== null,
      keptWeightsBytes: keptWeightsBudget({ training }),
      gradientCheckpointing: training.gradientCheckpointing,
      model: report,
      latentBytes: toDisk ? 0 : latentBytes,
      captionBytes: textToDisk ? 0 : textBytes,
      pixelsPerBatch: Math.max(...datasets.flatMap(largestBatches)),
      largestPicture: cached ? 0 : largestOf(pictures.map(({ crop }) => crop.source)),
      picturesInFlight: data.workers ?? availableParallelism(),
    }),
    warnings: group.warnings,
  }
}

function heldOutOf(heldOut: Dataset | undefined, subset: SubsetConfig): number {
  const own = heldOut?.subsets.find(({ config }) => subsetPlace(config) === subsetPlace(subset))
  return own?.images.length ?? 0
}

function planBuckets(dataset: Dataset): PlannedBucket[] {
  const { batchSize } = dataset.config
  return describeBuckets(dataset).map((bucket) => {
    return { ...bucket, dataset: dataset.index, batches: Math.ceil(bucket.count / batchSize) }
  })
}

/** float32 latents of an eighth of the sides, four channels; mirrored ones too. */
function latentBytesOf({ images }: Dataset): number {
  return images.reduce((sum, { crop: { target }, subset }) => {
    return sum + (target.width / 8) * (target.height / 8) * 4 * 4 * (subset.flipAug ? 2 : 1)
  }, 0)
}

/** Hidden states of each caption, in the type that the U-Net computes in. */
function captionBytesOf(
  group: DatasetGroup,
  { model: { maxTokenLength }, training: { mixedPrecision } }: Pick<TrainConfig, 'model' | 'training'>,
  { variant }: ShownCaptions,
): number {
  const count = new Set([group, group.heldOut ?? group].flatMap(distinctCaptions)).size
  return count * ((maxTokenLength ?? 75) + 2) * (variant === 'sd2' ? 1024 : 768) * (mixedPrecision === 'no' ? 4 : 2)
}

function largestBatches({ buckets, config }: Dataset): number[] {
  return buckets.map(({ size, entries }) => size.width * size.height * Math.min(config.batchSize, entries.length))
}

function largestOf(sizes: readonly { readonly width: number; readonly height: number }[]): number {
  return sizes.reduce((largest, { width, height }) => Math.max(largest, width * height), 0)
}

function countCaptions({ datasets }: DatasetGroup, { limit, count }: ShownCaptions): TrainingPlan['captions'] {
  const captions = datasets.flatMap(({ images }) =>
    images.map(({ path, caption, subset }) => ({ path, tokens: count(caption, subset) })),
  )
  const overLimit = captions.filter(({ tokens }) => tokens > limit).sort((a, b) => b.tokens - a.tokens)
  return { limit, total: captions.length, overLimit }
}

/** Null for what is not on this disk, such as a hub id. */
async function reportOf(path: string): Promise<FileReport | null> {
  if (path === '') return null
  try {
    return await inspectFile(path)
  } catch (error) {
    if (error instanceof IoError) return null
    throw error
  }
}

/** What a training would do with its data, and what it would need, before any model is loaded. */
import { type FileReport, inspectFile } from '../checkpoints/inspect.ts'
import { subsetPlace } from '../config/datasetConfig.ts'
import { type BucketRow, bucketTable } from '../data/bucketTable.ts'
import type { Dataset } from '../data/dataset.ts'
import type { DatasetGroup } from '../data/datasetGroup.ts'
import { tokenCounter } from '../models/clip/tokenCounter.ts'
import type { ClipTokenizer } from '../models/clip/tokenizer.ts'
import { IoError } from '../util/errors.ts'
import { estimateMemory, type MemoryShare } from './memoryEstimate.ts'
import { planSteps } from './schedule.ts'

export interface PlannedSubset {
  readonly dataset: number
  /** Folder or metadata file. */
  readonly place: string
  readonly images: number
  readonly repeats: number
  readonly isReg: boolean
}

export interface LongCaption {
  readonly path: string
  readonly tokens: number
}

export interface TrainingPlan {
  readonly subsets: readonly PlannedSubset[]
  readonly buckets: readonly BucketRow[]
  /** Repeats included. */
  readonly trainImageCount: number
  readonly regImageCount: number
  readonly batchesPerEpoch: number
  readonly stepsPerEpoch: number
  readonly totalSteps: number
  readonly epochCount: number
  readonly captions: {
    /** Tokens that are used of a caption. */
    readonly limit: number
    readonly total: number
    /** Captions with more tokens than that, the longest first. */
    readonly overLimit: readonly LongCaption[]
  }
  /** Bytes written: cached latents. */
  readonly diskBytes: number
  /** Rough; the weights are missing where the model cannot be looked at. */
  readonly memory: readonly MemoryShare[]
  readonly warnings: readonly string[]
}

export interface TrainingPlanOptions {
  readonly tokenizer: ClipTokenizer
  /** 75, 150 or 225. */
  readonly tokenLimit: number
  readonly maxSteps: number
  readonly maxEpochs: number | null
  readonly gradientAccumulationSteps: number
  readonly mixedPrecision: 'no' | 'bf16'
  readonly gradientCheckpointing: boolean
  readonly cacheLatents: boolean
  readonly cacheLatentsToDisk: boolean
  /** Pictures decoded at a time. */
  readonly workers: number
  /** A file or folder. Null: not known. */
  readonly modelPath: string | null
}

/** Describes the training of a group whose pictures have been scanned. Of the model, indexes are read and nothing else. */
export async function planTraining(group: DatasetGroup, options: TrainingPlanOptions): Promise<TrainingPlan> {
  const { datasets, batchesPerEpoch } = group
  const { totalSteps, epochCount } = planSteps(batchesPerEpoch, options)
  const latentBytes = options.cacheLatents ? datasets.reduce((sum, dataset) => sum + latentBytesOf(dataset), 0) : 0
  const pictures = datasets.flatMap(({ images }) => images)
  return {
    subsets: datasets.flatMap(({ index, subsets }) =>
      subsets.map(({ config, images }) => ({
        dataset: index,
        place: subsetPlace(config),
        images: images.length,
        repeats: config.numRepeats,
        isReg: config.isReg,
      })),
    ),
    buckets: datasets.flatMap(bucketTable),
    trainImageCount: group.trainImageCount,
    regImageCount: group.regImageCount,
    batchesPerEpoch,
    stepsPerEpoch: Math.ceil(batchesPerEpoch / options.gradientAccumulationSteps),
    totalSteps,
    epochCount,
    captions: countCaptions(group, options),
    diskBytes: options.cacheLatentsToDisk ? latentBytes : 0,
    memory: estimateMemory({
      ...options,
      model: await reportOf(options.modelPath),
      latentBytes: options.cacheLatentsToDisk ? 0 : latentBytes,
      pixelsPerBatch: Math.max(...datasets.flatMap(largestBatches)),
      largestPicture: options.cacheLatents ? 0 : largestOf(pictures.map(({ crop }) => crop.source)),
      picturesInFlight: options.workers,
    }),
    warnings: group.warnings,
  }
}

/** float32 latents of an eighth of the sides, four channels; mirrored ones too. */
function latentBytesOf({ images }: Dataset): number {
  return images.reduce((sum, { crop: { target }, subset }) => {
    return sum + (target.width / 8) * (target.height / 8) * 4 * 4 * (subset.flipAug ? 2 : 1)
  }, 0)
}

function largestBatches({ buckets, config }: Dataset): number[] {
  return buckets.map(({ size, entries }) => size.width * size.height * Math.min(config.batchSize, entries.length))
}

function largestOf(sizes: readonly { readonly width: number; readonly height: number }[]): number {
  return sizes.reduce((largest, { width, height }) => Math.max(largest, width * height), 0)
}

function countCaptions(
  { datasets }: DatasetGroup,
  { tokenizer, tokenLimit }: TrainingPlanOptions,
): TrainingPlan['captions'] {
  const count = tokenCounter(tokenizer)
  const captions = datasets.flatMap(({ images }) =>
    images.map(({ path, caption }) => ({ path, tokens: count(caption) })),
  )
  const overLimit = captions.filter(({ tokens }) => tokens > tokenLimit).sort((a, b) => b.tokens - a.tokens)
  return { limit: tokenLimit, total: captions.length, overLimit }
}

/** Null for what is not on this disk, such as a hub id. */
async function reportOf(path: string | null): Promise<FileReport | null> {
  if (path === null) return null
  try {
    return await inspectFile(path)
  } catch (error) {
    if (error instanceof IoError) return null
    throw error
  }
}

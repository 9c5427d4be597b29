/** Datasets as loaded: every picture with its caption, bucket and repeats, checked before training starts. */
import { resolve } from 'node:path'
import type { DatasetConfig, SubsetConfig } from '../config/datasetConfig.ts'
import { ArgumentError, DataError } from '../util/errors.ts'
import { listed } from '../util/listed.ts'
import {
  type BucketChoice,
  bucketResolutions,
  chooseBucket,
  chooseBucketNoUpscale,
  compareSizes,
  type Size,
} from './buckets.ts'
import { type CropPlan, planCrop, uncachedSizeProblem } from './cropPlan.ts'
import { type Face, faceInName, facelessPictures } from './faceCrop.ts'
import type { LatentFiles } from './latentFiles.ts'
import { balanceRegularization } from './regularization.ts'
import type { ScannedImage, ScannedSubset } from './scan.ts'

/** One picture of a dataset. */
export interface DatasetImage {
  /** Unique within its dataset: the path as enumerated, or the key of the metadata. */
  readonly key: string
  readonly path: string
  /** Index in `Dataset.images`. */
  readonly index: number
  readonly subset: SubsetConfig
  /** The caption as stored, before shuffling. */
  readonly caption: string
  /** Times seen per epoch, at least 1; for regularization pictures after balancing. */
  readonly repeats: number
  /** Weight of its loss: `priorLossWeight` for regularization pictures, otherwise 1. */
  readonly lossWeight: number
  /** Index in `Dataset.buckets`. */
  readonly bucket: number
  /** The crop of every use, unless it is drawn anew. */
  readonly crop: CropPlan
  /** Set where each use is cropped around the face. */
  readonly face?: Face
  /** Aspect ratio of the bucket less that of the picture. */
  readonly aspectError: number
  /** Latents made beforehand, which are used in place of the picture. */
  readonly latents?: LatentFiles | undefined
  /** The picture whose red channel weighs the loss. */
  readonly mask?: string | undefined
}

/** Pictures that train at one size. */
export interface Bucket {
  readonly size: Size
  /** Indices into `Dataset.images`, each as often as the picture repeats. */
  readonly entries: readonly number[]
}

export interface Dataset {
  /** Index in the group. */
  readonly index: number
  readonly config: DatasetConfig
  readonly subsets: readonly ScannedSubset[]
  /** Every picture in use, once: what a latent cache has to hold (mirrored too where `subset.flipAug`). */
  readonly images: readonly DatasetImage[]
  /** By width, then height. Sizes without pictures do not appear. */
  readonly buckets: readonly Bucket[]
  /** Training pictures, repeats included. */
  readonly trainImageCount: number
  /** Regularization pictures found, repeats included, before balancing. */
  readonly regImageCount: number
  readonly batchCount: number
}

export interface BuildOptions {
  readonly priorLossWeight: number
  /** Whether pictures become cached latents, which are resized even without buckets. */
  readonly cacheLatents: boolean
  /** The training sizes to choose from, in the order of `compareSizes`. Default: those that the options ask for. */
  readonly resolutions?: readonly Size[] | undefined
}

/** A picture with its repeats, before its bucket is known. */
interface Registered {
  readonly subset: SubsetConfig
  readonly image: ScannedImage
  readonly repeats: number
}

/**
 * Balances regularization pictures and sorts all into buckets.
 *
 * @param subsets scanned subsets in configuration order, none of them empty
 * @returns the dataset, the errors of pictures that fit no bucket, and warnings
 * @throws DataError when an epoch would use more pictures than can be planned
 */
export function buildDataset(
  index: number,
  config: DatasetConfig,
  subsets: readonly ScannedSubset[],
  options: BuildOptions,
): { readonly dataset: Dataset; readonly errors: readonly DataError[]; readonly warnings: readonly string[] } {
  const place = `datasets[${index}]`
  const warnings: string[] = []
  const candidates = subsets.flatMap(({ config: subset, images }) =>
    images.map((image): Registered => ({ subset, image, repeats: subset.numRepeats })),
  )
  const train = candidates.filter(({ subset }) => !subset.isReg)
  const reg = candidates.filter(({ subset }) => subset.isReg)
  const trainImageCount = sumRepeats(train)
  const regImageCount = sumRepeats(reg)
  if (regImageCount > trainImageCount) {
    warnings.push(
      `${place}: ${regImageCount} regularization pictures for ${trainImageCount} training pictures (repeats included): some stay unused`,
    )
  }
  checkUses(trainImageCount, place)
  const balanced = balanceRegularization(
    reg.map(({ repeats }) => repeats),
    trainImageCount,
  )
  const registered = registerPictures(
    [...train, ...reg.map((entry, at) => ({ ...entry, repeats: balanced[at]! }))],
    place,
    warnings,
  )
  checkUses(sumRepeats(registered), place)

  warnings.push(...subsets.flatMap((subset) => facelessPictures(subset, resizes(config, options))))
  const errors: DataError[] = []
  // Where no picture is left, there may be no resolution either.
  let choose: ReturnType<typeof bucketChooser> | undefined
  const chosen: { readonly entry: Registered; readonly choice: BucketChoice }[] = []
  for (const entry of registered) {
    choose ??= bucketChooser(config, options.resolutions)
    const choice = choose(entry.image.size)
    const problem = sizeProblem(entry, choice, config, options)
    if (problem === undefined) chosen.push({ entry, choice })
    else errors.push(new DataError(entry.image.path, problem))
  }

  const sizes = uniqueSizes(chosen.map(({ choice }) => choice.bucket))
  const images = chosen.map(({ entry, choice }, at): DatasetImage => {
    const { subset, image, repeats } = entry
    const face = faceOf(entry, config, options)
    return {
      key: image.key ?? image.path,
      path: image.path,
      index: at,
      subset,
      caption: image.caption.text,
      repeats,
      lossWeight: subset.isReg ? options.priorLossWeight : 1,
      bucket: sizes.findIndex((size) => compareSizes(size, choice.bucket) === 0),
      crop:
        resizes(config, options) || image.latents
          ? planCrop(image.size, choice)
          : planCrop(image.size, { ...choice, resized: image.size }),
      aspectError: choice.aspectError,
      ...(face === undefined ? {} : { face }),
      ...(image.latents === undefined ? {} : { latents: image.latents }),
      ...(image.mask === undefined ? {} : { mask: image.mask }),
    }
  })
  const entries = sizes.map((): number[] => [])
  for (const image of images) for (let i = 0; i < image.repeats; i++) entries[image.bucket]!.push(image.index)
  const buckets = sizes.map((size, at): Bucket => ({ size, entries: entries[at]! }))
  const batchCount = buckets.reduce((sum, bucket) => sum + Math.ceil(bucket.entries.length / config.batchSize), 0)
  const dataset = { index, config, subsets, images, buckets, trainImageCount, regImageCount, batchCount }
  return { dataset, errors, warnings }
}

/** Each use of an epoch is planned in memory. */
const mostUses = 2 ** 25

function checkUses(count: number, place: string): void {
  if (count <= mostUses) return
  const message = `its pictures number ${count} with repeats, at most ${mostUses} fit into an epoch: lower num_repeats`
  throw new DataError(place, message)
}

/** Pictures by key, a later one in place of an earlier one, without those of no repeats. Warns of what occurs twice. */
function registerPictures(entries: readonly Registered[], place: string, warnings: string[]): readonly Registered[] {
  const [first] = entries
  // The pictures of one folder all differ.
  if (first?.subset.kind === 'dreambooth' && entries.every(({ subset }) => subset === first.subset))
    return entries.filter(({ repeats }) => repeats > 0)
  const byKey = new Map<string, Registered>()
  const paths = new Map<string, string>()
  const replaced: string[] = []
  const doubled: string[] = []
  for (const entry of entries) {
    const { path, key = path } = entry.image
    const isReplaced = byKey.has(key)
    if (isReplaced) replaced.push(key)
    const real = resolve(path)
    const other = paths.get(real)
    if (other !== undefined && !isReplaced && entry.image.key === undefined) doubled.push(`${other} and ${path}`)
    paths.set(real, path)
    if (entry.repeats > 0) byKey.set(key, entry)
  }
  if (replaced.length > 0)
    warnings.push(`${place}: pictures that two subsets name, of which the later counts: ${listed(replaced)}`)
  if (doubled.length > 0)
    warnings.push(`${place}: pictures that are used twice, under different paths: ${listed(doubled)}`)
  return [...byKey.values()]
}

function sumRepeats(entries: readonly Registered[]): number {
  return entries.reduce((sum, entry) => sum + entry.repeats, 0)
}

function uniqueSizes(sizes: readonly Size[]): Size[] {
  return [...new Map(sizes.map((size) => [`${size.width}x${size.height}`, size])).values()].sort(compareSizes)
}

function resolutionOf({ resolution }: DatasetConfig): Size {
  if (resolution === undefined) throw new ArgumentError('buildDataset', 'resolution', 'given', 'none')
  return { width: resolution[0], height: resolution[1] }
}

/** How this dataset chooses buckets. Without bucketing there is one, the resolution. */
function bucketChooser(config: DatasetConfig, resolutions?: readonly Size[]): (image: Size) => BucketChoice {
  if (resolutions !== undefined) return (image) => chooseBucket(image, resolutions)
  const resolution = resolutionOf(config)
  if (!config.enableBucket) return (image) => chooseBucket(image, [resolution])
  if (config.bucketNoUpscale) return (image) => chooseBucketNoUpscale(image, resolution, config.bucketResoSteps)
  const buckets = bucketResolutions({
    resolution,
    minimum: config.minBucketReso,
    maximum: config.maxBucketReso,
    steps: config.bucketResoSteps,
  })
  return (image) => chooseBucket(image, buckets)
}

/** Whether pictures are resized to cover their training size; else only a window of them can be cut out. */
function resizes({ enableBucket }: DatasetConfig, { cacheLatents }: BuildOptions): boolean {
  return enableBucket || cacheLatents
}

/** The face to crop around: only where pictures are not resized to cover, and latents are not given. */
function faceOf({ subset, image }: Registered, config: DatasetConfig, options: BuildOptions): Face | undefined {
  const applies = subset.faceCropAugRange !== undefined && image.latents === undefined && !resizes(config, options)
  return applies ? faceInName(image.path) : undefined
}

function sizeProblem(
  entry: Registered,
  { bucket }: BucketChoice,
  config: DatasetConfig,
  options: BuildOptions,
): string | undefined {
  const { image, subset } = entry
  if (bucket.width < 1 || bucket.height < 1) {
    const found = `${image.size.width}x${image.size.height}`
    return `the picture (${found}) is too small or too narrow for bucket_no_upscale: scaled down, each side must be at least bucket_reso_steps (${config.bucketResoSteps}). Remove or enlarge it, or unset bucket_no_upscale`
  }
  if (resizes(config, options) || image.latents !== undefined) return undefined
  const randomCrop = subset.randomCrop || faceOf(entry, config, options) !== undefined
  return uncachedSizeProblem(image.size, resolutionOf(config), { randomCrop })
}

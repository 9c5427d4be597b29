/** What the metadata files of a fine-tuning dataset decide together: whether latents are used, and which sizes there are. */
import type { DatasetConfig } from '../config/datasetConfig.ts'
import { checkMetadataSizes } from '../config/datasetRules.ts'
import { ConfigError, DataError } from '../util/errors.ts'
import { listed } from '../util/listed.ts'
import { mapLimited } from '../util/mapLimited.ts'
import { compareSizes, type Size } from './buckets.ts'
import { decodeImage } from './image.ts'
import { type ImageHeader, type ImageOptions, readImageHeader } from './imageHeader.ts'
import { hasAlphaMask, hasFlippedLatent } from './latentFiles.ts'
import type { MetadataImage, MetadataSubset } from './metadataScan.ts'
import type { ScannedImage, ScannedSubset } from './scan.ts'

export interface MetadataDatasetOptions extends ImageOptions {
  /** Default error. */
  readonly onBadImage?: 'error' | 'skip'
  /** Training sizes must be multiples of this many pixels. */
  readonly sizeMultiple: number
}

export interface MetadataDataset {
  /** With buckets, where the metadata hold the sizes. */
  readonly config: DatasetConfig
  readonly subsets: readonly ScannedSubset[]
  /** The training sizes that the metadata give, in the order of `compareSizes`; undefined: the dataset's options decide. */
  readonly resolutions: readonly Size[] | undefined
  readonly errors: readonly DataError[]
  readonly warnings: readonly string[]
}

/** Files opened at a time. */
const concurrency = 8

/**
 * Where every picture has latents (mirrored ones and alpha masks too where its subset asks for them) and a training size, latents
 * are used; one that lacks them has the pictures of the whole dataset encoded. Training sizes of all pictures become its buckets. Pictures are
 * opened, for their sizes, only where latents are not used.
 *
 * @throws ConfigError when the sizes in the metadata contradict the dataset's options, or neither gives any
 */
export async function buildMetadataDataset(
  index: number,
  config: DatasetConfig,
  subsets: readonly MetadataSubset[],
  file: string | undefined,
  options: MetadataDatasetOptions,
): Promise<MetadataDataset> {
  const place = `datasets[${index}]`
  const images = subsets.flatMap((subset) => subset.images)
  const sized = images.filter(({ trainResolution }) => trainResolution !== undefined)
  const everyPictureHasSize = images.length > 0 && sized.length === images.length
  const [broken] = images.length === 0 ? [] : checkMetadataSizes(config, everyPictureHasSize)
  if (broken !== undefined) throw new ConfigError(broken.message, { file, option: `${place}.${broken.option}` })

  const warnings: string[] = []
  const latents = await decideLatents(place, subsets)
  if (latents.warning !== undefined) warnings.push(latents.warning)
  const scanned: ScannedSubset[] = []
  const errors: DataError[] = []
  for (const subset of subsets) {
    const read = latents.used ? withLatents(subset) : await withPictures(subset, options)
    scanned.push(read.subset)
    errors.push(...read.errors)
    warnings.push(...read.warnings)
  }
  if (!everyPictureHasSize) {
    if (sized.length > 0) {
      warnings.push(
        `${place}: ${images.length - sized.length} of ${images.length} entries of its metadata have no train_resolution: buckets are made by the options of the dataset`,
      )
    }
    return { config, subsets: scanned, resolutions: undefined, errors, warnings }
  }
  warnings.push(...optionsReplaced(place, config))
  const resolutions = uniqueSizes(sized.map(({ trainResolution }) => trainResolution!))
  for (const { width, height } of resolutions) {
    if (width % options.sizeMultiple === 0 && height % options.sizeMultiple === 0) continue
    const owner = sized.find(({ trainResolution }) => compareSizes(trainResolution!, { width, height }) === 0)!
    const message = `train_resolution of "${owner.key}" must be divisible by ${options.sizeMultiple}, found ${width}x${height}: prepare the metadata again`
    errors.push(new DataError(owner.picture ?? owner.latents!.file, message))
  }
  return { config: { ...config, enableBucket: true }, subsets: scanned, resolutions, errors, warnings }
}

/** What sizes in metadata do to options of the dataset. */
function optionsReplaced(place: string, { enableBucket, origins }: DatasetConfig): string[] {
  const reason = `${place}: its metadata give training sizes, so`
  const idle = (['resolution', 'min_bucket_reso', 'max_bucket_reso', 'bucket_reso_steps'] as const).filter(
    (name) => (origins[name] ?? 'default') !== 'default',
  )
  return [
    ...(enableBucket ? [] : [`${reason} enable_bucket is set`]),
    ...(idle.length === 0 ? [] : [`${reason} these have no effect: ${idle.join(', ')}`]),
  ]
}

function uniqueSizes(sizes: readonly Size[]): Size[] {
  return [...new Map(sizes.map((size) => [`${size.width}x${size.height}`, size])).values()].sort(compareSizes)
}

interface LatentDecision {
  readonly used: boolean
  readonly warning?: string
}

async function decideLatents(place: string, subsets: readonly MetadataSubset[]): Promise<LatentDecision> {
  const changing = subsets.filter(({ config }) => config.colorAug || config.randomCrop)
  const found = subsets.flatMap(({ images }) => images).filter(({ latents }) => latents !== undefined)
  if (changing.length > 0) {
    if (found.length === 0) return { used: false }
    const files = changing.map(({ config }) => config.metadataFile).join(', ')
    return {
      used: false,
      warning: `${place}: color_aug or random_crop of ${files} change pictures, so latents in files are not used in this dataset`,
    }
  }
  if (found.length === 0) return { used: false }
  const missing: string[] = []
  for (const { config, images } of subsets) {
    const lacks = await mapLimited(images, concurrency, async ({ latents }) => {
      if (latents === undefined) return 'latents'
      if (config.flipAug && !(await hasFlippedLatent(latents))) return 'mirrored latents'
      return config.alphaMask && !(await hasAlphaMask(latents.file)) ? 'an alpha mask' : undefined
    })
    images.forEach(({ key, trainResolution }, at) => {
      const lack = lacks[at] ?? (trainResolution === undefined ? 'train_resolution' : undefined)
      if (lack !== undefined) missing.push(`"${key}" (${lack})`)
    })
  }
  if (missing.length === 0) return { used: true }
  const mirrors = subsets.some(({ config }) => config.flipAug)
  const hint = mirrors ? ' Mirrored latents are needed for flip_aug.' : ''
  return {
    used: false,
    warning: `${place}: latents in files are not used, since ${missing.length} entries lack something: ${listed(missing)}.${hint}`,
  }
}

interface ReadSubset {
  readonly subset: ScannedSubset
  readonly errors: readonly DataError[]
  readonly warnings: readonly string[]
}

function withLatents({ config, images }: MetadataSubset): ReadSubset {
  const scanned = images.map(
    (image): ScannedImage => ({
      ...commonOf(image, config.metadataFile),
      path: image.picture ?? image.latents!.file,
      size: image.trainResolution!,
      orientation: 1,
      latents: image.latents!,
    }),
  )
  return { subset: { config, images: scanned }, errors: [], warnings: [] }
}

async function withPictures(
  { config, images }: MetadataSubset,
  { onBadImage = 'error', ...options }: MetadataDatasetOptions,
): Promise<ReadSubset> {
  const { metadataFile } = config
  const errors: DataError[] = []
  const found = await mapLimited(images, concurrency, async (image): Promise<ScannedImage | undefined> => {
    try {
      const path = pictureOf(image)
      const { width, height, orientation } = await readCheckedHeader(path, options)
      return { ...commonOf(image, metadataFile), path, size: { width, height }, orientation }
    } catch (error) {
      if (!(error instanceof DataError)) throw error
      errors.push(error)
      return undefined
    }
  })
  const subset = { config, images: found.filter((image) => image !== undefined) }
  errors.sort((a, b) => (a.path < b.path ? -1 : 1))
  if (onBadImage === 'error' || errors.length === 0) return { subset, errors, warnings: [] }
  const messages = listed(errors.map(({ message }) => message))
  const warning = `${metadataFile}: ${errors.length} of ${images.length} pictures cannot be read and are left out: ${messages}`
  return { subset, errors: [], warnings: [warning] }
}

function commonOf(
  { key, caption, tags }: MetadataImage,
  metadataFile: string,
): Pick<ScannedImage, 'key' | 'tags' | 'caption'> {
  return { key, tags, caption: { text: caption ?? '', file: caption === undefined ? undefined : metadataFile } }
}

function pictureOf({ key, picture, latents }: MetadataImage): string {
  if (picture !== undefined) return picture
  const message = `there are only latents for the key "${key}", and they cannot be used: add the picture, or what the latents lack`
  throw new DataError(latents?.file ?? key, message)
}

async function readCheckedHeader(path: string, options: ImageOptions): Promise<ImageHeader> {
  const header = await readImageHeader(path, options)
  if (!header.looksComplete) await decodeImage(path, options)
  return header
}

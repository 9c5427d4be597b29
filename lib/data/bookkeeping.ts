/** Facts about the data that are stored with a trained network, in the form of kohya's metadata. */
import { createHash } from 'node:crypto'
import { basename } from 'node:path'
import { type SubsetConfig, subsetPlace } from '../config/datasetConfig.ts'
import { PythonFloat, type PythonJson, pythonJson } from '../util/pythonJson.ts'
import type { Dataset } from './dataset.ts'
import type { DatasetGroup } from './datasetGroup.ts'
import type { ScannedSubset } from './scan.ts'

/** Folder name to tag to count. */
export type TagFrequency = Readonly<Record<string, Readonly<Record<string, number>>>>

export interface BucketInfo {
  readonly buckets: Readonly<Record<string, { readonly resolution: readonly [number, number]; readonly count: number }>>
  /** Mean distance of the aspect ratios of pictures from those of their buckets, each picture once. */
  readonly mean_img_ar_error: number
}

/**
 * How often each tag occurs in the captions of each folder, lower case, repeats not counted. Regularization included. Of metadata
 * the tags alone are counted, under the name of the file.
 */
export function tagFrequency({ subsets }: Pick<Dataset, 'subsets'>): TagFrequency {
  const folders = byName<Record<string, number>>()
  for (const { config, images } of subsets) {
    const name = basename(subsetPlace(config))
    const counts = new Map(Object.entries(folders[name] ?? {}))
    for (const { caption, tags = '' } of images) {
      const text = config.kind === 'fineTuning' ? tags : caption.text
      for (const piece of text.split(',')) {
        const tag = piece.trim().toLowerCase()
        if (tag !== '') counts.set(tag, (counts.get(tag) ?? 0) + 1)
      }
    }
    folders[name] = Object.fromEntries(counts)
  }
  return folders
}

/** The buckets in use with their picture counts, repeats included; null without bucketing. */
export function bucketInfo({
  config,
  buckets,
  images,
}: Pick<Dataset, 'config' | 'buckets' | 'images'>): BucketInfo | null {
  if (!config.enableBucket) return null
  const entries = buckets.map(({ size, entries: { length: count } }, index) => {
    return [String(index), { resolution: [size.width, size.height] as const, count }] as const
  })
  const total = images.reduce((sum, image) => sum + Math.abs(image.aspectError), 0)
  return { buckets: Object.fromEntries(entries), mean_img_ar_error: images.length === 0 ? 0 : total / images.length }
}

/** With the error as a float of Python, which a whole one is too. */
function writtenBucketInfo(dataset: Dataset): PythonJson {
  const info = bucketInfo(dataset)
  if (info === null) return null
  return { ...info, mean_img_ar_error: new PythonFloat(info.mean_img_ar_error) }
}

/**
 * The `ss_` metadata that describe the data, every value as text. With a configuration file, or several datasets: `ss_datasets`
 * and the merged tag frequency and folders. Otherwise: the single dataset's options as separate keys.
 *
 * @param options.gradientAccumulationSteps batches per optimizer step. Default 1
 * @param options.hashNames whether names of folders and files, and tags, are replaced by hashes. Default false
 */
export function datasetMetadata(
  group: DatasetGroup,
  {
    gradientAccumulationSteps = 1,
    hashNames = false,
  }: { readonly gradientAccumulationSteps?: number; readonly hashNames?: boolean } = {},
): Record<string, string> {
  const counts = {
    ss_num_train_images: String(group.trainImageCount),
    ss_num_reg_images: String(group.regImageCount),
    ss_num_batches_per_epoch: String(group.batchesPerEpoch),
  }
  const datasets = hashNames ? group.datasets.map(withHashedNames) : group.datasets
  if (group.config.file !== undefined || datasets.length > 1) return { ...counts, ...severalDatasets(datasets) }
  const dataset = datasets[0]!
  return { ...counts, ...singleDataset(dataset, dataset.config.batchSize * gradientAccumulationSteps) }
}

/** The same counts under other names: who knows a name finds it by its hash, others do not read it. */
function withHashedNames(dataset: Dataset): Dataset {
  const subsets = dataset.subsets.map(({ config, images }): ScannedSubset => {
    const imageDir = config.imageDir === undefined ? {} : { imageDir: hashOfName(basename(config.imageDir)) }
    const file = config.kind === 'fineTuning' ? { metadataFile: hashOfName(basename(config.metadataFile)) } : {}
    return {
      config: { ...config, ...imageDir, ...file } as SubsetConfig,
      images: images.map(({ caption, tags, ...image }) => ({
        ...image,
        caption: { ...caption, text: hashedTags(caption.text) },
        tags: tags === undefined ? undefined : hashedTags(tags),
      })),
    }
  })
  return { ...dataset, subsets }
}

function hashedTags(text: string): string {
  const tags = text.split(',').map((tag) => tag.trim().toLowerCase())
  return tags.map((tag) => (tag === '' ? '' : hashOfName(tag))).join(',')
}

/** The first twelve hexadecimal digits of its SHA-256. */
function hashOfName(name: string): string {
  return createHash('sha256').update(name).digest('hex').slice(0, 12)
}

function severalDatasets(datasets: readonly Dataset[]): Record<string, string> {
  const mergedTags = byName<Readonly<Record<string, number>>>()
  const folders = byName<{ n_repeats: number; img_count: number }>()
  const described = datasets.map((dataset) => {
    const { config, subsets } = dataset
    const tags = tagFrequency(dataset)
    for (const [name, counts] of Object.entries(tags)) mergedTags[name] ??= counts
    for (const subset of subsets.filter(({ config: { isReg } }) => !isReg)) {
      folders[unusedName(basename(subsetPlace(subset.config)), folders)] = folderInfo(subset)
    }
    return {
      is_dreambooth: config.kind === 'dreambooth',
      batch_size_per_device: config.batchSize,
      num_train_images: dataset.trainImageCount,
      num_reg_images: dataset.regImageCount,
      // As kohya writes it where metadata hold the sizes.
      resolution: config.resolution ?? [null, null],
      enable_bucket: config.enableBucket,
      min_bucket_reso: config.minBucketReso,
      max_bucket_reso: config.maxBucketReso,
      tag_frequency: tags,
      bucket_info: writtenBucketInfo(dataset),
      subsets: subsets.map(describeSubset),
    }
  })
  return {
    ss_datasets: pythonJson(described),
    ss_tag_frequency: pythonJson(mergedTags),
    ss_dataset_dirs: pythonJson(folders),
  }
}

/** For names that come from outside, such as `constructor`: an object that has no others yet. */
function byName<T>(): Record<string, T> {
  return Object.create(null) as Record<string, T>
}

function unusedName(name: string, taken: Readonly<Record<string, unknown>>): string {
  if (!(name in taken)) return name
  let number = 2
  while (`${name} (${number})` in taken) number++
  return `${name} (${number})`
}

function folderInfo({ config, images }: ScannedSubset): { n_repeats: number; img_count: number } {
  return { n_repeats: config.numRepeats, img_count: images.length }
}

function describeSubset({ config, images }: ScannedSubset): Record<string, PythonJson> {
  return {
    img_count: images.length,
    num_repeats: config.numRepeats,
    color_aug: config.colorAug,
    flip_aug: config.flipAug,
    random_crop: config.randomCrop,
    shuffle_caption: config.shuffleCaption,
    keep_tokens: config.keepTokens,
    image_dir: config.imageDir === undefined ? null : basename(config.imageDir),
    ...(config.kind === 'fineTuning'
      ? { metadata_file: basename(config.metadataFile) }
      : { class_tokens: config.classTokens ?? null, is_reg: config.isReg }),
  }
}

function singleDataset(dataset: Dataset, totalBatchSize: number): Record<string, string> {
  const { config, subsets } = dataset
  const options: SubsetConfig = (subsets[0]?.config ?? config.subsets[0])!
  const foldersOf = (isReg: boolean): string => {
    const chosen = subsets.filter((subset) => subset.config.isReg === isReg)
    return pythonJson(
      Object.fromEntries(chosen.map((subset) => [basename(subsetPlace(subset.config)), folderInfo(subset)])),
    )
  }
  return {
    ss_batch_size_per_device: String(config.batchSize),
    ss_total_batch_size: String(totalBatchSize),
    ss_resolution: config.resolution === undefined ? 'None' : `(${config.resolution.join(', ')})`,
    ss_color_aug: pythonBoolean(options.colorAug),
    ss_flip_aug: pythonBoolean(options.flipAug),
    ss_random_crop: pythonBoolean(options.randomCrop),
    ss_shuffle_caption: pythonBoolean(options.shuffleCaption),
    ss_enable_bucket: pythonBoolean(config.enableBucket),
    ss_bucket_no_upscale: pythonBoolean(config.bucketNoUpscale),
    ss_min_bucket_reso: String(config.minBucketReso),
    ss_max_bucket_reso: String(config.maxBucketReso),
    ss_keep_tokens: String(options.keepTokens),
    ss_dataset_dirs: foldersOf(false),
    ss_reg_dataset_dirs: foldersOf(true),
    ss_tag_frequency: pythonJson(tagFrequency(dataset)),
    ss_bucket_info: pythonJson(writtenBucketInfo(dataset)),
  }
}

function pythonBoolean(value: boolean): string {
  return value ? 'True' : 'False'
}

import { float, type PythonJson, pythonJson, pythonStr } from '../../lib/networks/pythonText.ts'

/** How often each tag occurs, per image folder (or metadata file): folder name to tag to count. */
export type TagFrequency = ReadonlyMap<string, ReadonlyMap<string, number>>

/** What bucketing did; null when it was off. */
export interface BucketFacts {
  /** Buckets that hold images: index, size in pixels, images counted with repeats. */
  readonly buckets: readonly {
    readonly index: number
    readonly resolution: readonly [number, number]
    readonly count: number
  }[]
  /** Mean of |aspect ratio of the bucket − of the image| over the images. */
  readonly meanAspectRatioError: number
}

/** One subset of a data set that a configuration file describes. */
export interface SubsetFacts {
  readonly imageCount: number
  readonly repeats: number
  readonly colorAug: boolean
  readonly flipAug: boolean
  readonly randomCrop: boolean
  readonly shuffleCaption: boolean
  readonly keepTokens: number
  /** Base name of the image folder. */
  readonly imageDir?: string
  /** DreamBooth subsets have a class and may be regularization images; the others name their metadata file. */
  readonly source:
    | { readonly kind: 'dreamBooth'; readonly classTokens: string | null; readonly isReg: boolean }
    | { readonly kind: 'metadata'; readonly metadataFile: string }
}

/** One data set that a configuration file describes. Image counts include repeats. */
export interface DatasetFacts {
  readonly isDreamBooth: boolean
  readonly batchSizePerDevice: number
  readonly trainImageCount: number
  readonly regImageCount: number
  /** Width, height. */
  readonly resolution: readonly [number, number]
  readonly enableBucket: boolean
  readonly minBucketResolution: number | null
  readonly maxBucketResolution: number | null
  readonly tagFrequency: TagFrequency
  readonly bucketInfo: BucketFacts | null
  readonly subsets: readonly SubsetFacts[]
}

/** The one data set that command line options describe. */
export interface CommandLineDataFacts {
  readonly batchSizePerDevice: number
  readonly totalBatchSize: number
  readonly resolution: readonly [number, number]
  readonly colorAug: boolean
  readonly flipAug: boolean
  readonly randomCrop: boolean
  readonly shuffleCaption: boolean
  readonly enableBucket: boolean
  readonly bucketNoUpscale: boolean
  readonly minBucketResolution: number | null
  readonly maxBucketResolution: number | null
  readonly keepTokens: number
  readonly trainFolders: readonly FolderFacts[]
  readonly regFolders: readonly FolderFacts[]
  readonly tagFrequency: TagFrequency
  readonly bucketInfo: BucketFacts | null
}

export interface FolderFacts {
  /** Base name. */
  readonly name: string
  readonly repeats: number
  readonly imageCount: number
}

/** The data that was trained on, as the configuration file or the command line gave it. */
export type DataFacts =
  | { readonly kind: 'config'; readonly datasets: readonly DatasetFacts[] }
  | ({ readonly kind: 'commandLine' } & CommandLineDataFacts)

/** The metadata keys that describe the data. */
export function dataMetadata(data: DataFacts): Record<string, string> {
  return data.kind === 'config' ? configMetadata(data.datasets) : commandLineMetadata(data)
}

function configMetadata(datasets: readonly DatasetFacts[]): Record<string, string> {
  const tagFrequency = new Map<string, ReadonlyMap<string, number>>()
  for (const dataset of datasets) {
    for (const [folder, counts] of dataset.tagFrequency) {
      if (!tagFrequency.has(folder)) tagFrequency.set(folder, counts)
    }
  }
  const folders: FolderFacts[] = []
  for (const { source, imageDir, repeats, imageCount } of datasets.flatMap((dataset) => dataset.subsets)) {
    const isReg = source.kind === 'dreamBooth' && source.isReg
    const name = source.kind === 'metadata' ? source.metadataFile : imageDir
    if (!isReg && name !== undefined) folders.push({ name, repeats, imageCount })
  }
  return {
    ss_datasets: pythonJson(datasets.map(datasetJson)),
    ss_tag_frequency: pythonJson(tagFrequency),
    ss_dataset_dirs: pythonJson(foldersJson(folders)),
  }
}

function datasetJson(dataset: DatasetFacts): PythonJson {
  return {
    is_dreambooth: dataset.isDreamBooth,
    batch_size_per_device: dataset.batchSizePerDevice,
    num_train_images: dataset.trainImageCount,
    num_reg_images: dataset.regImageCount,
    resolution: dataset.resolution,
    enable_bucket: dataset.enableBucket,
    min_bucket_reso: dataset.minBucketResolution,
    max_bucket_reso: dataset.maxBucketResolution,
    tag_frequency: dataset.tagFrequency,
    bucket_info: bucketJson(dataset.bucketInfo),
    subsets: dataset.subsets.map(subsetJson),
  }
}

function subsetJson(subset: SubsetFacts): PythonJson {
  const { source, imageDir } = subset
  return {
    img_count: subset.imageCount,
    num_repeats: subset.repeats,
    color_aug: subset.colorAug,
    flip_aug: subset.flipAug,
    random_crop: subset.randomCrop,
    shuffle_caption: subset.shuffleCaption,
    keep_tokens: subset.keepTokens,
    ...(imageDir === undefined ? {} : { image_dir: imageDir }),
    ...(source.kind === 'dreamBooth'
      ? { class_tokens: source.classTokens, is_reg: source.isReg }
      : { metadata_file: source.metadataFile }),
  }
}

function bucketJson(info: BucketFacts | null): PythonJson {
  if (info === null) return null
  const buckets = new Map<string, PythonJson>()
  for (const { index, resolution, count } of info.buckets) buckets.set(String(index), { resolution, count })
  return { buckets, mean_img_ar_error: float(info.meanAspectRatioError) }
}

/** A name that occurs again gets ` (2)`, ` (3)`, and so on. */
function foldersJson(folders: readonly FolderFacts[]): PythonJson {
  const result = new Map<string, PythonJson>()
  for (const { name, repeats, imageCount } of folders) {
    let unique = name
    for (let i = 2; result.has(unique); i++) unique = `${name} (${i})`
    result.set(unique, { n_repeats: repeats, img_count: imageCount })
  }
  return result
}

function commandLineMetadata(data: CommandLineDataFacts): Record<string, string> {
  return {
    ss_batch_size_per_device: pythonStr(data.batchSizePerDevice),
    ss_total_batch_size: pythonStr(data.totalBatchSize),
    ss_resolution: pythonStr(data.resolution),
    ss_color_aug: pythonStr(data.colorAug),
    ss_flip_aug: pythonStr(data.flipAug),
    ss_random_crop: pythonStr(data.randomCrop),
    ss_shuffle_caption: pythonStr(data.shuffleCaption),
    ss_enable_bucket: pythonStr(data.enableBucket),
    ss_bucket_no_upscale: pythonStr(data.bucketNoUpscale),
    ss_min_bucket_reso: pythonStr(data.minBucketResolution),
    ss_max_bucket_reso: pythonStr(data.maxBucketResolution),
    ss_keep_tokens: pythonStr(data.keepTokens),
    ss_dataset_dirs: pythonJson(foldersJson(data.trainFolders)),
    ss_reg_dataset_dirs: pythonJson(foldersJson(data.regFolders)),
    ss_tag_frequency: pythonJson(data.tagFrequency),
    ss_bucket_info: pythonJson(bucketJson(data.bucketInfo)),
  }
}

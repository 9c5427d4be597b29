/** Dataset configuration: from a TOML or JSON file to one resolved value for every option of every subset. */
import { readFile } from 'node:fs/promises'
import { ConfigError } from '../util/errors.ts'
import { parseJson, parseToml } from './configText.ts'
import type { TrainingUse } from './datasetEffects.ts'
import type { DatasetFile } from './datasetFile.ts'
import type { AcceptedData } from './datasetKinds.ts'
import type { DatasetFallbacks, ValueOrigin } from './datasetLookup.ts'
import type { DatasetKind, DatasetOptionName } from './datasetOptions.ts'
import { locateJson, locateToml } from './locate.ts'
import type { Locate } from './problem.ts'
import { resolveDatasets } from './resolveDatasets.ts'

export type { DatasetFile } from './datasetFile.ts'
export type { AcceptedData } from './datasetKinds.ts'
export type { DatasetFallbacks, ValueOrigin } from './datasetLookup.ts'
export { subsetPlace } from './subsetPlace.ts'

/** What a subset of either kind says about its captions and pictures. */
export interface SubsetOptions {
  /** Regularization pictures; never those of fine-tuning. */
  readonly isReg: boolean
  readonly numRepeats: number
  readonly shuffleCaption: boolean
  readonly keepTokens: number
  readonly keepTokensSeparator: string | undefined
  readonly captionSeparator: string
  readonly secondarySeparator: string | undefined
  readonly enableWildcard: boolean
  readonly captionPrefix: string | undefined
  readonly captionSuffix: string | undefined
  readonly captionDropoutRate: number
  /** 0: never. */
  readonly captionDropoutEveryNEpochs: number
  readonly captionTagDropoutRate: number
  readonly tokenWarmupMin: number
  /** Optimizer steps; below 1 a share of all of them; 0: no warm-up. */
  readonly tokenWarmupStep: number
  readonly colorAug: boolean
  readonly flipAug: boolean
  readonly randomCrop: boolean
  /** Least and most of the shorter side, in sizes of the face. */
  readonly faceCropAugRange: readonly [least: number, most: number] | undefined
  readonly alphaMask: boolean
  readonly resizeInterpolation: ResizeInterpolation
  /** For programs: nothing here looks at them. Undefined: none. */
  readonly customAttributes: Readonly<Record<string, unknown>> | undefined
  readonly origins: Readonly<Partial<Record<DatasetOptionName, ValueOrigin>>>
}

/**
 * `lanczos` and `box` are Pillow's, the others OpenCV's; `auto`: area unless a side grows, otherwise Lanczos. Two pairs are two names for the
 * same.
 */
export type ResizeInterpolation =
  | 'area'
  | 'lanczos'
  | 'auto'
  | 'nearest'
  | 'bilinear'
  | 'linear'
  | 'bicubic'
  | 'cubic'
  | 'box'

/** One folder of pictures, with captions beside them or one caption for all. */
export interface DreamBoothSubset extends SubsetOptions {
  readonly kind: 'dreambooth'
  readonly imageDir: string
  /** Caption of pictures without a caption file; undefined and the empty string differ, see `readCaption`. */
  readonly classTokens: string | undefined
  /** With its leading dot. */
  readonly captionExtension: string
  /** Folder of the masks of its pictures; undefined: none, or no masked loss to use them. */
  readonly conditioningDataDir: string | undefined
}

/** The pictures that a metadata file names, with its captions, tags and sizes. */
export interface FineTuningSubset extends SubsetOptions {
  readonly kind: 'fineTuning'
  readonly metadataFile: string
  /** Where pictures are looked for whose keys are not paths. */
  readonly imageDir: string | undefined
}

/** Where pictures come from and how they and their captions are treated. */
export type SubsetConfig = DreamBoothSubset | FineTuningSubset

/** Subsets that share a resolution, a batch size and buckets. */
export interface DatasetConfig {
  /** Of all its subsets. */
  readonly kind: DatasetKind
  /** Width and height in pixels; undefined only for fine-tuning, where the metadata may hold the sizes. */
  readonly resolution: readonly [width: number, height: number] | undefined
  readonly batchSize: number
  readonly enableBucket: boolean
  readonly minBucketReso: number
  readonly maxBucketReso: number
  readonly bucketResoSteps: number
  readonly bucketNoUpscale: boolean
  /** Strength of a network in the batches of this dataset. */
  readonly networkMultiplier: number
  /** Share of the pictures that are measured and not trained on. */
  readonly validationSplit: number
  /** Undefined: that of the training. */
  readonly validationSeed: number | undefined
  readonly subsets: readonly SubsetConfig[]
  readonly origins: Readonly<Partial<Record<DatasetOptionName, ValueOrigin>>>
}

export interface DatasetGroupConfig {
  /** The configuration file; undefined when the datasets were described by folder names or by a program. */
  readonly file: string | undefined
  readonly datasets: readonly DatasetConfig[]
  /** What the user should know but need not mend: options that are given and have no effect. */
  readonly notes: readonly string[]
}

export interface ResolveOptions extends TrainingUse {
  readonly fallbacks?: DatasetFallbacks
  /** Training sizes must be multiples of this many pixels. Default 8, the VAE's reduction. */
  readonly sizeMultiple?: number
  /** What the trainer takes. Default: everything. */
  readonly accepts?: AcceptedData
}

/**
 * Reads and resolves a dataset configuration file, `.toml` or `.json`.
 *
 * @throws ConfigError naming every problem of the file with its line and column
 */
export async function loadDatasetConfig(file: string, options: ResolveOptions = {}): Promise<DatasetGroupConfig> {
  const format = /\.(toml|json)$/i.exec(file)?.[1]?.toLowerCase()
  if (format !== 'toml' && format !== 'json') {
    throw new ConfigError('a dataset configuration must be a .toml or .json file', { file })
  }
  let bytes: Uint8Array
  try {
    bytes = await readFile(file)
  } catch (error) {
    const reason =
      (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'no such file: check --dataset_config' : String(error)
    throw new ConfigError(`cannot read the dataset configuration: ${reason}`, { file }, { cause: error })
  }
  let source: string
  try {
    source = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (error) {
    throw new ConfigError(
      'a dataset configuration must be UTF-8 text: save it again as UTF-8',
      { file },
      { cause: error },
    )
  }
  return parseDatasetConfig(source, format, { ...options, file })
}

/** Resolves the text of a dataset configuration. `file` is used in messages only. */
export async function parseDatasetConfig(
  source: string,
  format: 'toml' | 'json',
  options: ResolveOptions & { readonly file?: string } = {},
): Promise<DatasetGroupConfig> {
  const { file = `dataset configuration (${format})`, ...rest } = options
  const raw = format === 'toml' ? await parseToml(source, file) : parseJson(source, file)
  const locate = (): Promise<Locate> | Locate => (format === 'toml' ? locateToml(source) : locateJson(source))
  return resolveDatasets(raw, { ...rest, file, locate })
}

/**
 * Resolves a configuration given as an object of the same structure as the file. An undefined value counts as not given.
 *
 * @throws ConfigError naming every problem
 */
export async function resolveDatasetConfig(
  raw: DatasetFile,
  options: ResolveOptions = {},
): Promise<DatasetGroupConfig> {
  return resolveDatasets(raw, { ...options, file: undefined, locate: () => () => undefined })
}

/**
 * Parses the command line's `--resolution`: `"512"` or `"512,768"` (width, height).
 *
 * @throws ConfigError when the text is not one or two whole numbers
 */
export function parseResolution(text: string): readonly [width: number, height: number] {
  const match = /^\s*(\d+)\s*(?:,\s*(\d+)\s*)?$/.exec(text)
  if (match === null) {
    const message = `--resolution must be one or two whole numbers ("512" or "512,768"), found ${JSON.stringify(text)}`
    throw new ConfigError(message, { option: 'resolution' })
  }
  const width = Number(match[1])
  return [width, match[2] === undefined ? width : Number(match[2])]
}

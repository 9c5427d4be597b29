/** Dataset configuration: from a TOML or JSON file to one resolved value for every option of every subset. */
import { readFile } from 'node:fs/promises'
import { ConfigError } from '../util/errors.ts'
import { parseJson, parseToml } from './configText.ts'
import {
  type DatasetKind,
  type DatasetOptionName,
  type DatasetOptionValue,
  datasetOption,
  datasetOptions,
  type OptionLevel,
  optionsAt,
} from './datasetOptions.ts'
import { checkSizes } from './datasetRules.ts'
import { type OptionTable, type RawDatasetConfig, showValue, validateDatasetConfig } from './datasetSchema.ts'
import { locateJson, locateToml } from './locate.ts'
import { type ConfigPath, type ConfigProblem, configError, type Locate } from './problem.ts'

/** Where a value came from. */
export type ValueOrigin = OptionLevel | 'command line' | 'default'

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
  readonly origins: Readonly<Partial<Record<DatasetOptionName, ValueOrigin>>>
}

/** `auto`: area when shrinking, Lanczos when a side grows. */
export type ResizeInterpolation = 'area' | 'lanczos' | 'auto'

/** One folder of pictures, with captions beside them or one caption for all. */
export interface DreamBoothSubset extends SubsetOptions {
  readonly kind: 'dreambooth'
  readonly imageDir: string
  /** Caption of pictures without a caption file; undefined and the empty string differ, see `readCaption`. */
  readonly classTokens: string | undefined
  /** With its leading dot. */
  readonly captionExtension: string
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

/** The folder or metadata file that names a subset in messages and in a model's metadata. */
export function subsetPlace(subset: SubsetConfig): string {
  return subset.kind === 'fineTuning' ? subset.metadataFile : subset.imageDir
}

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
  readonly subsets: readonly SubsetConfig[]
  readonly origins: Readonly<Partial<Record<DatasetOptionName, ValueOrigin>>>
}

export interface DatasetGroupConfig {
  /** The configuration file; undefined when the datasets were described by folder names or by a program. */
  readonly file: string | undefined
  readonly datasets: readonly DatasetConfig[]
}

/**
 * Values of command-line options by the option's table name (`batch_size` for `--train_batch_size`), used where no table of
 * the file gives one. An undefined value counts as not given.
 */
export type DatasetFallbacks = {
  readonly [Name in DatasetOptionName]?: DatasetOptionValue<Name> | undefined
}

export interface ResolveOptions {
  readonly fallbacks?: DatasetFallbacks
  /** Training sizes must be multiples of this many pixels. Default 8, the VAE's reduction. */
  readonly sizeMultiple?: number
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
  return resolve(raw, { ...rest, file, locate })
}

/** Resolves a configuration given as an object of the same structure as the file. */
export async function resolveDatasetConfig(
  raw: RawDatasetConfig,
  options: ResolveOptions = {},
): Promise<DatasetGroupConfig> {
  return resolve(raw, { ...options, file: undefined, locate: () => () => undefined })
}

interface ResolveContext extends ResolveOptions {
  readonly file: string | undefined
  readonly locate: () => Promise<Locate> | Locate
}

async function resolve(raw: unknown, context: ResolveContext): Promise<DatasetGroupConfig> {
  const { fallbacks = {}, sizeMultiple = 8, file } = context
  const problems = [...(await validateDatasetConfig(raw)), ...(await checkFallbacks(fallbacks))]
  if (problems.length > 0) throw configError(problems, file, await context.locate())

  const { general = {}, datasets: tables = [] } = raw as RawDatasetConfig
  if (tables.length === 0) {
    problems.push({
      path: ['datasets'],
      message: 'there is no dataset: add a [[datasets]] table with [[datasets.subsets]]',
    })
  }
  const datasets = tables.map((table, index): DatasetConfig => {
    const path = ['datasets', index]
    const { subsets = [], ...own } = table
    if (subsets.length === 0) {
      problems.push({ path, message: `datasets[${index}] has no subset: add [[datasets.subsets]] with an image_dir` })
    }
    const outer: Scope[] = [
      { origin: 'dataset', path, table: own },
      { origin: 'general', path: ['general'], table: general },
    ]
    const dataset = resolveDataset(outer, fallbacks)
    const kind = subsets.some((subset) => subset.metadata_file !== undefined) ? 'fineTuning' : 'dreambooth'
    const { resolution } = dataset
    if (resolution !== undefined) {
      for (const { option, message } of checkSizes({ ...dataset, resolution }, sizeMultiple)) {
        problems.push({ path: placeOf(option, outer), message })
      }
    } else if (kind === 'dreambooth') {
      const message = `option "resolution" is missing for datasets[${index}]: set it in [[datasets]] or [general], or give --resolution`
      problems.push({ path, message })
    }
    const resolved = subsets.map((subset, at) => {
      const scope: Scope = { origin: 'subset', path: [...path, 'subsets', at], table: subset }
      return resolveSubset([scope, ...outer], fallbacks)
    })
    return { ...dataset, kind, subsets: resolved }
  })
  if (problems.length > 0) throw configError(problems, file, await context.locate())
  return { file, datasets }
}

/** One table of the configuration on the way from the innermost level outwards. */
interface Scope {
  readonly origin: OptionLevel
  readonly path: ConfigPath
  readonly table: OptionTable
}

/** The values visible from a table, innermost first, and a record of where each came from. */
class Lookup {
  readonly origins: Partial<Record<DatasetOptionName, ValueOrigin>> = {}
  constructor(
    readonly scopes: readonly Scope[],
    readonly fallbacks: DatasetFallbacks,
  ) {}

  /** First given value: tables inside out, then the command line, then the default. `false`, 0 and `""` are given values. */
  get<Name extends DatasetOptionName>(name: Name): DatasetOptionValue<Name> | undefined {
    const found = findGiven(name, this.scopes)
    const fallback = this.fallbacks[name]
    let value: unknown
    if (found !== undefined) {
      this.origins[name] = found.scope.origin
      value = found.scope.table[found.key]
    } else {
      this.origins[name] = fallback === undefined ? 'default' : 'command line'
      value = fallback ?? datasetOption(name).default
    }
    return value as DatasetOptionValue<Name> | undefined
  }

  /** As `get`, for an option that is required or has a default. */
  need<Name extends DatasetOptionName>(name: Name): DatasetOptionValue<Name> {
    return this.get(name) as DatasetOptionValue<Name>
  }
}

function findGiven(name: DatasetOptionName, scopes: readonly Scope[]): { scope: Scope; key: string } | undefined {
  const { alias, levels } = datasetOption(name)
  for (const scope of scopes) {
    if (!levels.includes(scope.origin)) continue
    for (const key of alias === undefined ? [name] : [alias, name]) {
      if (scope.table[key] !== undefined) return { scope, key }
    }
  }
  return undefined
}

/** The key that gave the option its value, or the dataset's table when none did. */
function placeOf(name: DatasetOptionName, scopes: readonly Scope[]): ConfigPath {
  const found = findGiven(name, scopes)
  return found === undefined ? scopes[0]!.path : [...found.scope.path, found.key]
}

function resolveDataset(
  scopes: readonly Scope[],
  fallbacks: DatasetFallbacks,
): Omit<DatasetConfig, 'subsets' | 'kind'> {
  const values = new Lookup(scopes, fallbacks)
  const resolution = values.get('resolution')
  return {
    resolution: typeof resolution === 'number' ? [resolution, resolution] : resolution,
    batchSize: values.need('batch_size'),
    enableBucket: values.need('enable_bucket'),
    minBucketReso: values.need('min_bucket_reso'),
    maxBucketReso: values.need('max_bucket_reso'),
    bucketResoSteps: values.need('bucket_reso_steps'),
    bucketNoUpscale: values.need('bucket_no_upscale'),
    origins: values.origins,
  }
}

function resolveSubset(scopes: readonly Scope[], fallbacks: DatasetFallbacks): SubsetConfig {
  const values = new Lookup(scopes, fallbacks)
  const metadataFile = values.get('metadata_file')
  if (metadataFile !== undefined)
    return { kind: 'fineTuning', metadataFile, imageDir: values.get('image_dir'), ...subsetOptions(values) }
  const extension = values.need('caption_extension')
  return {
    kind: 'dreambooth',
    imageDir: values.need('image_dir'),
    classTokens: values.get('class_tokens'),
    captionExtension: extension.startsWith('.') ? extension : `.${extension}`,
    ...subsetOptions(values),
  }
}

function subsetOptions(values: Lookup): SubsetOptions {
  return {
    isReg: values.need('is_reg'),
    numRepeats: values.need('num_repeats'),
    shuffleCaption: values.need('shuffle_caption'),
    keepTokens: values.need('keep_tokens'),
    keepTokensSeparator: values.get('keep_tokens_separator') || undefined,
    captionSeparator: values.need('caption_separator'),
    secondarySeparator: values.get('secondary_separator') || undefined,
    enableWildcard: values.need('enable_wildcard'),
    captionPrefix: values.get('caption_prefix') || undefined,
    captionSuffix: values.get('caption_suffix') || undefined,
    captionDropoutRate: values.need('caption_dropout_rate'),
    captionDropoutEveryNEpochs: values.need('caption_dropout_every_n_epochs'),
    captionTagDropoutRate: values.need('caption_tag_dropout_rate'),
    tokenWarmupMin: values.need('token_warmup_min'),
    tokenWarmupStep: values.need('token_warmup_step'),
    colorAug: values.need('color_aug'),
    flipAug: values.need('flip_aug'),
    randomCrop: values.need('random_crop'),
    faceCropAugRange: values.get('face_crop_aug_range'),
    alphaMask: values.need('alpha_mask'),
    resizeInterpolation: values.need('resize_interpolation') as ResizeInterpolation,
    origins: values.origins,
  }
}

/** Checks command-line values by the rules of the file's tables. */
async function checkFallbacks(fallbacks: DatasetFallbacks): Promise<ConfigProblem[]> {
  const given = Object.entries(fallbacks).filter(([, value]) => value !== undefined)
  const general = Object.fromEntries(given.filter(([name]) => optionsAt('general').has(name)))
  const problems = await validateDatasetConfig({ general })
  const named = problems.map(({ path, message }) => {
    const option = datasetOptions.find((candidate) => candidate.name === path[1])!
    const flag = 'commandLine' in option ? `--${option.commandLine}` : option.name
    return { path: ['command line', flag], message: message.replace(`option "${option.name}"`, flag) }
  })
  for (const [name, value] of given) {
    const known = (datasetOptions as readonly { name: string; commandLine?: string }[]).find(
      (option) => option.name === name,
    )
    if (known?.commandLine === undefined) {
      named.push({
        path: ['command line', name],
        message: `"${name}" (${showValue(value)}) cannot be given as a fallback`,
      })
    }
  }
  return named
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

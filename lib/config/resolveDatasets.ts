/** From the parsed text of a dataset configuration to one value for every option of every subset, or all that is wrong with it. */
import type { DatasetConfig, DatasetGroupConfig, ResolveOptions, SubsetConfig, SubsetOptions } from './datasetConfig.ts'
import { datasetEffects, subsetEffects } from './datasetEffects.ts'
import { checkKinds } from './datasetKinds.ts'
import { type DatasetFallbacks, Lookup, type Scope } from './datasetLookup.ts'
import { type DatasetOptionName, datasetOption, findDatasetOption, flagOf, optionsAt } from './datasetOptions.ts'
import { checkSizes } from './datasetRules.ts'
import { type RawDatasetConfig, showValue, validateDatasetConfig } from './datasetSchema.ts'
import { EffectReport } from './effectReport.ts'
import { type ConfigProblem, configError, type Locate, nameAt } from './problem.ts'

export interface ResolveContext extends ResolveOptions {
  /** In messages; undefined when the configuration is from no file. */
  readonly file: string | undefined
  /** Asked for only when something is wrong. */
  readonly locate: () => Promise<Locate> | Locate
}

/** @throws ConfigError naming every problem with its place */
export async function resolveDatasets(raw: unknown, context: ResolveContext): Promise<DatasetGroupConfig> {
  const { fallbacks = {}, sizeMultiple = 8, accepts = {}, maskedLoss = false, file } = context
  const problems = [
    ...(await validateDatasetConfig(raw)),
    ...checkKinds(raw, accepts),
    ...(await checkFallbacks(fallbacks)),
  ]
  if (problems.length > 0) throw configError(problems, file, await context.locate())

  const { general = {}, datasets: tables = [] } = raw as RawDatasetConfig
  if (tables.length === 0) {
    problems.push({
      path: ['datasets'],
      message: 'there is no dataset: add a [[datasets]] table with [[datasets.subsets]]',
    })
  }
  const effects = new EffectReport(fallbacks, context)
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
    const kind = subsets.some((subset) => subset.metadata_file !== undefined) ? 'fineTuning' : 'dreambooth'
    const values = new Lookup(outer, fallbacks)
    const dataset = { ...datasetValues(values), kind } as const
    const { resolution } = dataset
    if (resolution !== undefined) {
      for (const { option, message } of checkSizes({ ...dataset, resolution }, sizeMultiple)) {
        problems.push({ path: values.placeOf(option), message })
      }
    } else if (kind === 'dreambooth') {
      const message = `option "resolution" is missing for datasets[${index}]: set it in [[datasets]] or [general], or give --resolution`
      problems.push({ path, message })
    }
    effects.look(datasetEffects, dataset, values, dataset.enableBucket)
    const resolved = subsets.map((subset, at) => {
      const scope: Scope = { origin: 'subset', path: [...path, 'subsets', at], table: subset }
      const lookup = new Lookup([scope, ...outer], fallbacks)
      const config = subsetConfig(lookup, maskedLoss)
      problems.push(...checkFaceRange(config, lookup))
      effects.look(subsetEffects, config, lookup, dataset.enableBucket)
      return config
    })
    return { ...dataset, subsets: resolved }
  })
  if (maskedLoss && datasets.length > 0 && !datasets.some(hasMasks)) {
    const message = '--masked_loss needs masks: set conditioning_data_dir or alpha_mask in a subset of the data'
    problems.push({ path: ['command line', '--masked_loss'], message })
  }
  const report = effects.finish(datasets)
  problems.push(...report.problems)
  const locate = problems.length + report.notes.length > 0 ? await context.locate() : () => undefined
  if (problems.length > 0) throw configError(problems, file, locate)
  return { file, datasets, notes: report.notes.map((note) => configError([note], file, locate).message) }
}

function datasetValues(values: Lookup): Omit<DatasetConfig, 'subsets' | 'kind'> {
  const resolution = values.get('resolution')
  return {
    resolution: typeof resolution === 'number' ? [resolution, resolution] : resolution,
    batchSize: values.need('batch_size'),
    enableBucket: values.need('enable_bucket'),
    minBucketReso: values.need('min_bucket_reso'),
    maxBucketReso: values.need('max_bucket_reso'),
    bucketResoSteps: values.need('bucket_reso_steps'),
    bucketNoUpscale: values.need('bucket_no_upscale'),
    networkMultiplier: values.need('network_multiplier'),
    validationSplit: values.need('validation_split'),
    validationSeed: values.get('validation_seed'),
    origins: values.origins,
  }
}

function subsetConfig(values: Lookup, maskedLoss: boolean): SubsetConfig {
  const metadataFile = values.get('metadata_file')
  if (metadataFile !== undefined)
    return { kind: 'fineTuning', metadataFile, imageDir: values.get('image_dir'), ...subsetOptions(values) }
  const extension = values.need('caption_extension')
  return {
    kind: 'dreambooth',
    imageDir: values.need('image_dir'),
    classTokens: values.get('class_tokens'),
    captionExtension: extension.startsWith('.') ? extension : `.${extension}`,
    conditioningDataDir: maskDir(values, maskedLoss),
    ...subsetOptions(values),
  }
}

/** The folder of masks is asked for even where it is not used, so that it is said to have no effect. */
function maskDir(values: Lookup, maskedLoss: boolean): string | undefined {
  const folder = values.get('conditioning_data_dir')
  return maskedLoss ? folder : undefined
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
    resizeInterpolation: values.need('resize_interpolation'),
    customAttributes: values.get('custom_attributes'),
    origins: values.origins,
  }
}

function hasMasks({ subsets }: DatasetConfig): boolean {
  return subsets.some((subset) => subset.alphaMask || ('conditioningDataDir' in subset && subset.conditioningDataDir))
}

function checkFaceRange({ faceCropAugRange }: SubsetConfig, values: Lookup): ConfigProblem[] {
  if (faceCropAugRange === undefined || faceCropAugRange[0] <= faceCropAugRange[1]) return []
  const path = values.placeOf('face_crop_aug_range')
  const [least, most] = faceCropAugRange
  const message = `${nameAt(path)} must have the smaller number first, found [${least}, ${most}]: swap them`
  return [{ path, message }]
}

/** Checks command-line values by the rules of the file's tables. */
async function checkFallbacks(fallbacks: DatasetFallbacks): Promise<ConfigProblem[]> {
  const given = Object.entries(fallbacks).filter(([, value]) => value !== undefined)
  const general = Object.fromEntries(given.filter(([name]) => optionsAt('general').has(name)))
  const problems = (await validateDatasetConfig({ general })).map(({ path, message }) => {
    const option = datasetOption(path[1] as DatasetOptionName)
    const flag = flagOf(option)
    return { path: ['command line', flag], message: message.replace(`option "${option.name}"`, flag) }
  })
  for (const [name, value] of given) {
    if (findDatasetOption(name)?.commandLine === undefined)
      problems.push({
        path: ['command line', name],
        message: `"${name}" (${showValue(value)}) cannot be given as a fallback`,
      })
  }
  return problems
}

/**
 * The training data of a run.
 *
 *   const group = await loadDatasetGroup({ configFile: 'data.toml' }, { seed: 42 })
 *   for await (const batch of readBatches(group, epoch)) ...
 */
import {
  type DatasetConfig,
  type DatasetGroupConfig,
  loadDatasetConfig,
  type ResolveOptions,
  resolveDatasetConfig,
  subsetPlace,
} from '../config/datasetConfig.ts'
import type { DatasetFile } from '../config/datasetFile.ts'
import { ConfigError, DataError, NoisewrightError } from '../util/errors.ts'
import { throwCollected } from './dataErrors.ts'
import { buildDataset, type Dataset } from './dataset.ts'
import { type HoldOut, holdOut } from './holdOut.ts'
import { datasetConfigFromFolders } from './repeatFolders.ts'
import type { ScannedSubset, ScanOptions } from './scan.ts'
import { scanDataset } from './scanDataset.ts'

/** Where the description of the data comes from: a file, numbered folders, one file of metadata, a function or a program. */
export type DatasetSource =
  | { readonly configFile: string }
  | { readonly trainDataDir: string; readonly regDataDir?: string | undefined }
  | { readonly metadataFile: string; readonly imageDir?: string | undefined }
  | { readonly describe: DescribeDataset }
  | { readonly config: DatasetGroupConfig }

/**
 * What a dataset file would hold, from a function: `--dataset_class ./data.js#describe`. It may fetch or make the pictures first.
 * Options of the command line count where it says nothing.
 */
export type DescribeDataset = () => DatasetFile | Promise<DatasetFile>

/** How to load the data. What concerns the description of the data is not used with `config`, which is resolved already. */
export interface LoadDatasetOptions extends ResolveOptions {
  /** Seed of epoch plans, caption shuffles and flips. */
  readonly seed: bigint | number
  /** Loss weight of regularization pictures. Default 1. */
  readonly priorLossWeight?: number
  /** Whether keys of metadata may lead out of their `image_dir`. Default false. */
  readonly allowOutside?: boolean | undefined
  /** Pictures that are not trained on but measured, of datasets that do not say so themselves. Default: none. */
  readonly holdOut?: HoldOut | undefined
  /** How pictures are looked at: what becomes of unreadable ones, their orientation, notes for the next start. */
  readonly scan?: ScanOptions
}

export interface DatasetGroup {
  readonly seed: bigint
  readonly config: DatasetGroupConfig
  readonly datasets: readonly Dataset[]
  /** Training pictures, repeats included. */
  readonly trainImageCount: number
  /** Regularization pictures found, repeats included. */
  readonly regImageCount: number
  readonly batchesPerEpoch: number
  /** Pictures to be measured. */
  readonly heldOut?: HeldOutGroup
  /** Paths of the pictures for which no caption was found. */
  readonly missingCaptions: readonly string[]
  /** What the user should know but need not mend: subsets left out, pictures without captions. */
  readonly warnings: readonly string[]
}

/** Pictures that are measured; those of a dataset have its index, and a dataset that holds out none is empty. */
export interface HeldOutGroup extends DatasetGroup {
  /** Of the choice of pictures and of their noise, for each dataset. */
  readonly seeds: readonly bigint[]
}

/**
 * Reads the description of the data, looks at every picture and caption, and sorts the pictures into buckets.
 *
 * @throws ConfigError when the description is wrong
 * @throws DataError naming every unusable picture, caption and folder, or saying that nothing is left to train on
 */
export async function loadDatasetGroup(source: DatasetSource, options: LoadDatasetOptions): Promise<DatasetGroup> {
  const { seed, priorLossWeight = 1, cacheLatents = false } = options
  const { config, warnings: configWarnings } = await resolveSource(source, options)
  const warnings = [...configWarnings]
  const errors: DataError[] = []
  const empty: DataError[] = []
  const datasets: Dataset[] = []
  const heldOut: Dataset[] = []
  const holdOuts = config.datasets.map((dataset) => holdOutOf(dataset, options))
  for (const [index, dataset] of config.datasets.entries()) {
    if (cacheLatents) refuseChangingPictures(dataset, config.file)
    const scan = await scanDataset(index, dataset, config.file, options)
    const { config: scanned, subsets, resolutions } = scan
    const build = (list: readonly ScannedSubset[]) =>
      buildDataset(index, scanned, list, { priorLossWeight, cacheLatents, resolutions })
    const parts = holdOut(subsets, holdOuts[index]!, index)
    const built = build(parts.train)
    heldOut.push(build(parts.heldOut).dataset)
    errors.push(...scan.errors, ...built.errors)
    warnings.push(...scan.warnings, ...built.warnings)
    empty.push(...scan.empty)
    datasets.push(built.dataset)
  }
  throwCollected(errors)
  if (datasets.every(({ batchCount }) => batchCount === 0)) {
    throwCollected(empty)
    const place = config.file ?? 'datasets'
    throw new DataError(
      place,
      'there is nothing to train on: every subset was left out or holds regularization pictures only',
    )
  }
  const isMeasured = heldOut.some(({ images }) => images.length > 0)
  if (!isMeasured && holdOuts.some(({ share }) => share > 0))
    warnings.push('validation_split is too small a share of every subset to hold out one picture: nothing is measured')
  const group = groupOf({ seed: BigInt(seed), config, warnings }, datasets)
  if (!isMeasured) return group
  const seeds = holdOuts.map((each) => BigInt(each.seed))
  const measured = groupOf({ seed: BigInt(options.holdOut?.seed ?? seed), config, warnings: [] }, heldOut)
  return { ...group, heldOut: { ...measured, seeds } }
}

/** What a dataset says of it, or what holds for all. */
function holdOutOf(
  { validationSplit, validationSeed, origins }: DatasetConfig,
  { holdOut: common, seed }: LoadDatasetOptions,
): HoldOut {
  const saysSo = (origins.validation_split ?? 'default') !== 'default'
  return { share: saysSo ? validationSplit : (common?.share ?? 0), seed: validationSeed ?? common?.seed ?? seed }
}

function groupOf(
  facts: Pick<DatasetGroup, 'seed' | 'config' | 'warnings'>,
  datasets: readonly Dataset[],
): DatasetGroup {
  const sum = (count: (dataset: Dataset) => number): number => datasets.reduce((total, each) => total + count(each), 0)
  return {
    ...facts,
    datasets,
    trainImageCount: sum((dataset) => dataset.trainImageCount),
    regImageCount: sum((dataset) => dataset.regImageCount),
    batchesPerEpoch: sum((dataset) => dataset.batchCount),
    missingCaptions: datasets.flatMap(({ subsets }) =>
      subsets.flatMap(({ images }) =>
        images.filter(({ caption }) => caption.file === undefined).map(({ path }) => path),
      ),
    ),
  }
}

/** @throws ConfigError when a subset asks for what cached latents cannot give */
function refuseChangingPictures({ subsets }: DatasetConfig, file: string | undefined): void {
  for (const subset of subsets) {
    for (const [option, asked] of [
      ['color_aug', subset.colorAug],
      ['random_crop', subset.randomCrop],
    ] as const) {
      if (!asked) continue
      const message = `${option} of ${subsetPlace(subset)} contradicts caching latents, which are of pictures that do not change: leave out one of the two`
      throw new ConfigError(message, { file, option })
    }
  }
}

async function resolveSource(
  source: DatasetSource,
  options: ResolveOptions,
): Promise<{ readonly config: DatasetGroupConfig; readonly warnings: readonly string[] }> {
  if ('config' in source) return { config: source.config, warnings: source.config.notes }
  if ('trainDataDir' in source) {
    const { config, warnings } = await datasetConfigFromFolders(source, options)
    return { config, warnings: [...warnings, ...config.notes] }
  }
  if ('describe' in source) {
    const config = await resolveDatasetConfig(await described(source.describe), options)
    return { config, warnings: config.notes }
  }
  const config =
    'metadataFile' in source
      ? await resolveDatasetConfig(
          { datasets: [{ subsets: [{ metadata_file: source.metadataFile, image_dir: source.imageDir }] }] },
          options,
        )
      : await loadDatasetConfig(source.configFile, options)
  return { config, warnings: config.notes }
}

async function described(describe: DescribeDataset): Promise<DatasetFile> {
  try {
    return await describe()
  } catch (error) {
    if (error instanceof NoisewrightError) throw error
    const message = `--dataset_class: the function that describes the data failed: ${String(error)}`
    throw new ConfigError(message, { option: 'dataset_class' }, { cause: error })
  }
}

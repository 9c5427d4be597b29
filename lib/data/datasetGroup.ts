/**
 * The training data of a run.
 *
 *   const group = await loadDatasetGroup({ configFile: 'data.toml' }, { seed: 42 })
 *   for await (const batch of readBatches(group, epoch)) ...
 */
import {
  type DatasetFallbacks,
  type DatasetGroupConfig,
  loadDatasetConfig,
  subsetPlace,
} from '../config/datasetConfig.ts'
import { ConfigError, DataError } from '../util/errors.ts'
import { throwCollected } from './dataErrors.ts'
import { buildDataset, type Dataset } from './dataset.ts'
import { datasetConfigFromFolders } from './repeatFolders.ts'
import { type ScannedSubset, type ScanOptions, scanSubset } from './scan.ts'

/** Where the description of the data comes from: a file, numbered folders, or a program. */
export type DatasetSource =
  | { readonly configFile: string }
  | { readonly trainDataDir: string; readonly regDataDir?: string | undefined }
  | { readonly config: DatasetGroupConfig }

export interface LoadDatasetOptions {
  /** Seed of epoch plans, caption shuffles and flips. */
  readonly seed: bigint | number
  /** Values of command-line options, by table name. Not used with `config`, which is resolved already. */
  readonly fallbacks?: DatasetFallbacks
  /** Loss weight of regularization pictures. Default 1. */
  readonly priorLossWeight?: number
  /** Whether pictures become cached latents; then they may differ from the resolution without buckets. Default false. */
  readonly cacheLatents?: boolean
  /** Training sizes must be multiples of this many pixels. Default 8. */
  readonly sizeMultiple?: number
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
  /** What the user should know but need not mend: subsets left out, pictures without captions. */
  readonly warnings: readonly string[]
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
  const emptyFolders: DataError[] = []
  const datasets: Dataset[] = []
  for (const [index, dataset] of config.datasets.entries()) {
    const subsets: ScannedSubset[] = []
    const seen = new Set<string>()
    for (const subset of dataset.subsets) {
      const { numRepeats } = subset
      const place = subsetPlace(subset)
      if (numRepeats < 1) {
        warnings.push(`${place}: num_repeats is ${numRepeats}, so the subset is left out`)
        continue
      }
      if (seen.has(place)) {
        warnings.push(`${place}: named twice in datasets[${index}]: the second subset is left out`)
        continue
      }
      seen.add(place)
      if (subset.kind === 'fineTuning')
        throw new ConfigError('fine-tuning metadata cannot be read yet', { file: place, option: 'metadata_file' })
      const scan = await scanSubset(subset, options.scan)
      errors.push(...scan.errors)
      warnings.push(...scan.warnings)
      if (scan.emptyFolder !== undefined) emptyFolders.push(scan.emptyFolder)
      if (scan.subset !== undefined) subsets.push(scan.subset)
    }
    const built = buildDataset(index, dataset, subsets, { priorLossWeight, cacheLatents })
    errors.push(...built.errors)
    warnings.push(...built.warnings)
    datasets.push(built.dataset)
  }
  throwCollected(errors)
  const sum = (count: (dataset: Dataset) => number): number => datasets.reduce((total, each) => total + count(each), 0)
  const batchesPerEpoch = sum((dataset) => dataset.batchCount)
  if (batchesPerEpoch === 0) {
    throwCollected(emptyFolders)
    const place = config.file ?? 'datasets'
    throw new DataError(
      place,
      'there is nothing to train on: every subset was left out or holds regularization pictures only',
    )
  }
  return {
    seed: BigInt(seed),
    config,
    datasets,
    trainImageCount: sum((dataset) => dataset.trainImageCount),
    regImageCount: sum((dataset) => dataset.regImageCount),
    batchesPerEpoch,
    warnings,
  }
}

async function resolveSource(
  source: DatasetSource,
  { fallbacks = {}, sizeMultiple = 8 }: LoadDatasetOptions,
): Promise<{ readonly config: DatasetGroupConfig; readonly warnings: readonly string[] }> {
  if ('config' in source) return { config: source.config, warnings: [] }
  if ('trainDataDir' in source) return datasetConfigFromFolders(source, { fallbacks, sizeMultiple })
  return { config: await loadDatasetConfig(source.configFile, { fallbacks, sizeMultiple }), warnings: [] }
}

/** The first pass over one dataset: which of its subsets are used, with which pictures. */
import { type DatasetConfig, type SubsetConfig, subsetPlace } from '../config/datasetConfig.ts'
import { DataError } from '../util/errors.ts'
import type { Size } from './buckets.ts'
import { buildMetadataDataset } from './metadataDataset.ts'
import { type MetadataSubset, scanMetadata } from './metadataScan.ts'
import { type ScannedSubset, type ScanOptions, scanSubset } from './scan.ts'

export interface ScanDatasetOptions {
  readonly sizeMultiple?: number
  readonly scan?: ScanOptions
  readonly allowOutside?: boolean | undefined
}

export interface DatasetScan {
  /** The dataset's options as they turned out. */
  readonly config: DatasetConfig
  /** Subsets with at least one picture, in configuration order. */
  readonly subsets: readonly ScannedSubset[]
  /** The only training sizes; undefined: the dataset's options decide. */
  readonly resolutions?: readonly Size[] | undefined
  readonly errors: readonly DataError[]
  readonly warnings: readonly string[]
  /** What to say of subsets that are left out should no other be left. */
  readonly empty: readonly DataError[]
}

/**
 * @param file the configuration, for messages
 * @throws ConfigError when metadata contradict the dataset's options
 */
export async function scanDataset(
  index: number,
  config: DatasetConfig,
  file: string | undefined,
  options: ScanDatasetOptions,
): Promise<DatasetScan> {
  const errors: DataError[] = []
  const warnings: string[] = []
  const empty: DataError[] = []
  const folders: ScannedSubset[] = []
  const metadata: MetadataSubset[] = []
  const { scan: scanOptions = {}, allowOutside = false, sizeMultiple = 8 } = options
  for (const subset of acceptedSubsets(index, config, warnings, empty)) {
    if (subset.kind === 'fineTuning') {
      const scan = await scanMetadata(subset, { allowOutside })
      errors.push(...scan.errors)
      warnings.push(...scan.warnings)
      if (scan.empty !== undefined) empty.push(scan.empty)
      if (scan.subset !== undefined) metadata.push(scan.subset)
      continue
    }
    const scan = await scanSubset(subset, scanOptions)
    errors.push(...scan.errors)
    warnings.push(...scan.warnings)
    if (scan.emptyFolder !== undefined) empty.push(scan.emptyFolder)
    if (scan.subset !== undefined) folders.push(scan.subset)
  }
  if (config.kind === 'dreambooth') return { config, subsets: folders, errors, warnings, empty }
  const built = await buildMetadataDataset(index, config, metadata, file, { ...scanOptions, sizeMultiple })
  return {
    ...built,
    errors: [...errors, ...built.errors],
    warnings: [...warnings, ...built.warnings],
    empty,
  }
}

/** Subsets that repeat at least once, each folder or metadata file once. */
function* acceptedSubsets(
  index: number,
  { subsets }: DatasetConfig,
  warnings: string[],
  empty: DataError[],
): Generator<SubsetConfig, void, void> {
  const seen = new Set<string>()
  for (const subset of subsets) {
    const place = subsetPlace(subset)
    if (subset.numRepeats < 1) {
      const unused = new DataError(place, `num_repeats is ${subset.numRepeats}, so the subset is left out`)
      warnings.push(unused.message)
      empty.push(unused)
    } else if (seen.has(place)) {
      warnings.push(`${place}: named twice in datasets[${index}]: the second subset is left out`)
    } else {
      seen.add(place)
      yield subset
    }
  }
}

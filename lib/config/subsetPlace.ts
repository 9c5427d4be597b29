import type { SubsetConfig } from './datasetConfig.ts'

/** The folder or metadata file that names a subset in messages and in a model's metadata. */
export function subsetPlace(subset: SubsetConfig): string {
  return subset.kind === 'fineTuning' ? subset.metadataFile : subset.imageDir
}

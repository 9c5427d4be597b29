import { epochBatches } from './batches.ts'
import type { DatasetGroup } from './datasetGroup.ts'

/** The captions of a group whose captions do not change, each once, in the order of the first epoch's batches. */
export function distinctCaptions(group: DatasetGroup): string[] {
  const captions = new Set<string>()
  for (const { items } of epochBatches(group, 1)) for (const { caption } of items) captions.add(caption)
  return [...captions]
}

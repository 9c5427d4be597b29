/** Pictures worth a look before training: the same picture twice, and pictures smaller than their training size. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import type { DatasetGroup } from '../data/datasetGroup.ts'
import { isUpscaled } from '../data/describeBuckets.ts'
import { DataError } from '../util/errors.ts'
import { mapLimited } from '../util/mapLimited.ts'

export interface PictureRemarks {
  /** What there is to say about a picture. */
  of(path: string): readonly string[]
  /** One line for each kind of remark, with its count. */
  readonly summary: readonly string[]
}

/** Files read at a time. */
const concurrency = 4

/** Looks at every picture once. Only files of equal length are read, to compare their contents. */
export async function findRemarks(group: DatasetGroup): Promise<PictureRemarks> {
  const images = new Map(
    group.datasets.flatMap((dataset) => dataset.images.map((image) => [image.path, image] as const)),
  )
  const remarks = new Map<string, string[]>()
  const add = (path: string, remark: string): void => {
    remarks.set(path, [...(remarks.get(path) ?? []), remark])
  }
  const duplicates = await findDuplicates([...images.keys()])
  for (const same of duplicates)
    for (const path of same) add(path, `same picture as ${same.filter((other) => other !== path).join(', ')}`)
  const small = [...images.values()].filter(isUpscaled)
  for (const { path, crop } of small)
    add(
      path,
      `enlarged from ${crop.source.width}x${crop.source.height} to ${crop.resized.width}x${crop.resized.height}`,
    )
  const summary: string[] = []
  const repeated = duplicates.reduce((sum, same) => sum + same.length - 1, 0)
  if (repeated > 0) summary.push(`${repeated} of ${images.size} pictures are copies of another one`)
  if (small.length > 0) summary.push(`${small.length} of ${images.size} pictures are smaller than their training size`)
  return { of: (path) => remarks.get(path) ?? [], summary }
}

/** Groups of files with the same content. */
async function findDuplicates(paths: readonly string[]): Promise<string[][]> {
  const sizes = await mapLimited(paths, concurrency, (path) => readable(path, async () => (await stat(path)).size))
  const bySize = groupBy(paths, (_, at) => String(sizes[at]))
  const candidates = bySize.filter((same) => same.length > 1).flat()
  const hashes = await mapLimited(candidates, concurrency, (path) => readable(path, () => hashOf(path)))
  return groupBy(candidates, (_, at) => hashes[at]!).filter((same) => same.length > 1)
}

async function hashOf(path: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path), hash)
  return hash.digest('hex')
}

async function readable<T>(path: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read()
  } catch (error) {
    throw new DataError(path, `cannot be read: ${(error as Error).message}`, { cause: error })
  }
}

function groupBy<T>(items: readonly T[], keyOf: (item: T, at: number) => string): T[][] {
  const groups = new Map<string, T[]>()
  items.forEach((item, at) => {
    const key = keyOf(item, at)
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [item])
    else group.push(item)
  })
  return [...groups.values()]
}

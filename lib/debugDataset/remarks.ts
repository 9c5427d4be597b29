/** Pictures worth a look before training: copies and look-alikes, damaged ones, and those smaller than their training size. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import type { DatasetGroup } from '../data/datasetGroup.ts'
import { isUpscaled } from '../data/describeBuckets.ts'
import { DataError } from '../util/errors.ts'
import { mapLimited } from '../util/mapLimited.ts'
import { readLook, similarPairs } from './similarPictures.ts'

export interface PictureRemarks {
  /** What there is to say about a picture. */
  of(path: string): readonly string[]
  /** One line for each kind of remark, with its count. */
  readonly summary: readonly string[]
}

export interface RemarkOptions {
  /** Whether the orientation that EXIF data tell is passed over. Default false. */
  readonly ignoreExif?: boolean
  /** With more pictures than this, look-alikes are not searched: every picture is decoded for it. Default 5000. */
  readonly mostCompared?: number
}

/** Files read at a time. */
const concurrency = 4

/** Looks at every picture once: decoded small, to compare how they look, and in full those of equal length, to compare contents. */
export async function findRemarks(
  group: DatasetGroup,
  { ignoreExif = false, mostCompared = 5000 }: RemarkOptions = {},
): Promise<PictureRemarks> {
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
  if (images.size <= mostCompared) {
    const copies = new Map(duplicates.flatMap((same) => same.map((path) => [path, same] as const)))
    const { damaged, alike } = await compareLooks(
      [...images.values()].filter(({ latents }) => latents === undefined).map(({ path }) => path),
      ignoreExif,
    )
    for (const [path, message] of damaged) add(path, message)
    let count = 0
    for (const [path, others] of alike) {
      const further = others.filter((other) => !copies.get(path)?.includes(other))
      if (further.length > 0) add(path, `looks like ${further.join(', ')}`)
      if (further.length > 0) count++
    }
    if (damaged.size > 0) summary.push(`${damaged.size} of ${images.size} pictures cannot be decoded`)
    if (count > 0) summary.push(`${count} of ${images.size} pictures look like another one`)
  } else summary.push(`look-alikes are searched among up to ${mostCompared} pictures; here are ${images.size}`)
  const repeated = duplicates.reduce((sum, same) => sum + same.length - 1, 0)
  if (repeated > 0) summary.push(`${repeated} of ${images.size} pictures are copies of another one`)
  if (small.length > 0) summary.push(`${small.length} of ${images.size} pictures are smaller than their training size`)
  return { of: (path) => remarks.get(path) ?? [], summary }
}

interface Looks {
  /** Why a picture cannot be decoded. */
  readonly damaged: ReadonlyMap<string, string>
  /** For each picture that has some, those that look like it. */
  readonly alike: ReadonlyMap<string, readonly string[]>
}

async function compareLooks(paths: readonly string[], ignoreExif: boolean): Promise<Looks> {
  const damaged = new Map<string, string>()
  const looks = await mapLimited(paths, concurrency, async (path) => {
    try {
      return await readLook(path, { ignoreExif })
    } catch (error) {
      if (!(error instanceof DataError)) throw error
      damaged.set(path, error.message.replace(`${path}: `, ''))
      return undefined
    }
  })
  const known = [...looks.keys()].filter((at) => looks[at] !== undefined)
  const alike = new Map<string, string[]>()
  const note = (path: string, other: string): void => {
    alike.set(path, [...(alike.get(path) ?? []), other])
  }
  for (const [a, b] of similarPairs(known.map((at) => looks[at]!))) {
    note(paths[known[a]!]!, paths[known[b]!]!)
    note(paths[known[b]!]!, paths[known[a]!]!)
  }
  return { damaged, alike }
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

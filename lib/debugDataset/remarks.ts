/** Pictures worth a look before training: copies and look-alikes, damaged ones, and those smaller than their training size. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import type { DatasetGroup } from '../data/datasetGroup.ts'
import { isUpscaled } from '../data/describeBuckets.ts'
import { DataError } from '../util/errors.ts'
import { mapLimited } from '../util/mapLimited.ts'
import { findAlike } from './lookSearch.ts'
import { readLook } from './similarPictures.ts'

export interface PictureRemarks {
  /** What there is to say about a picture, as far as it is known. */
  of(path: string): readonly string[]
  /** One line for each kind of remark, with its count. */
  readonly summary: readonly string[]
  /** Settles when there is no more to find out. */
  readonly done: Promise<void>
}

export interface RemarkOptions {
  /** Whether the orientation that EXIF data tell is passed over. Default false. */
  readonly ignoreExif?: boolean
  /** With more pictures than this, look-alikes are searched while the remarks are in use already. Default: none are too many. */
  readonly mostAwaited?: number
  /** Called after each picture that was decoded to see how it looks. */
  readonly onLook?: ((done: number, total: number) => void) | undefined
  /** Ends the search. */
  readonly signal?: AbortSignal | undefined
}

/** Files read at a time. */
const concurrency = 4

/**
 * Looks at every picture once: decoded small, to compare how they look, and in full those of equal length, to compare contents. Of files
 * with the same content one is decoded.
 * @throws DataError when a file cannot be read
 */
export async function findRemarks(group: DatasetGroup, options: RemarkOptions = {}): Promise<PictureRemarks> {
  const { mostAwaited = Number.POSITIVE_INFINITY } = options
  const images = new Map(
    group.datasets.flatMap((dataset) => dataset.images.map((image) => [image.path, image] as const)),
  )
  const remarks = new Map<string, string[]>()
  const add = (path: string, remark: string): void => {
    remarks.set(path, [...(remarks.get(path) ?? []), remark])
  }
  const duplicates = await findDuplicates([...images.keys()])
  for (const same of duplicates) for (const path of same) add(path, `same picture as ${copiesBeside(same, path)}`)
  const small = [...images.values()].filter(isUpscaled)
  for (const { path, crop } of small)
    add(
      path,
      `enlarged from ${crop.source.width}x${crop.source.height} to ${crop.resized.width}x${crop.resized.height}`,
    )
  const lines: string[] = []
  const repeated = duplicates.reduce((sum, same) => sum + same.length - 1, 0)
  if (repeated > 0) lines.push(`${repeated} of ${images.size} pictures are copies of another one`)
  if (small.length > 0) lines.push(`${small.length} of ${images.size} pictures are smaller than their training size`)
  const paths = [...images.values()].filter(({ latents }) => latents === undefined).map(({ path }) => path)
  let looks: string[] = [`look-alikes are being searched among ${paths.length} pictures`]
  const done = compareLooks(paths, duplicates, options).then(({ damaged, alike }) => {
    for (const [path, message] of damaged) add(path, message)
    for (const [path, remark] of alike) add(path, remark)
    looks = []
    if (damaged.size > 0) looks.push(`${damaged.size} of ${images.size} pictures cannot be decoded`)
    if (alike.size > 0) looks.push(`${alike.size} of ${images.size} pictures look like another one`)
  })
  if (images.size <= mostAwaited) await done
  else done.catch(() => undefined)
  return {
    of: (path) => remarks.get(path) ?? [],
    get summary() {
      return [...looks, ...lines]
    },
    done,
  }
}

interface Looks {
  /** Why a picture cannot be decoded. */
  readonly damaged: ReadonlyMap<string, string>
  /** For each picture that looks like another one, the remark about that. */
  readonly alike: ReadonlyMap<string, string>
}

/** @param duplicates groups of paths of the same content */
async function compareLooks(
  paths: readonly string[],
  duplicates: readonly (readonly string[])[],
  { ignoreExif = false, onLook, signal }: RemarkOptions,
): Promise<Looks> {
  const copiesOf = new Map(duplicates.flatMap((same) => same.map((path) => [path, same] as const)))
  const isFirst = (path: string): boolean => (copiesOf.get(path)?.[0] ?? path) === path
  const compared = paths.filter(isFirst)
  const damaged = new Map<string, string>()
  let done = 0
  const looks = await mapLimited(compared, concurrency, async (path) => {
    signal?.throwIfAborted()
    try {
      return await readLook(path, { ignoreExif })
    } catch (error) {
      if (!(error instanceof DataError)) throw error
      const message = error.message.replace(`${path}: `, '')
      for (const copy of copiesOf.get(path) ?? [path]) damaged.set(copy, message)
      return undefined
    } finally {
      onLook?.(++done, compared.length)
    }
  })
  const known = compared.filter((_, at) => looks[at] !== undefined)
  const found = await findAlike(
    looks.filter((look) => look !== undefined),
    { signal },
  )
  const alike = new Map<string, string>()
  for (const [at, { count, first }] of found) {
    const more = count > first.length ? [`and ${count - first.length} more`] : []
    const remark = `looks like ${[...first.map((other) => known[other]!), ...more].join(', ')}`
    for (const copy of copiesOf.get(known[at]!) ?? [known[at]!]) alike.set(copy, remark)
  }
  return { damaged, alike }
}

/** The first of the others, and how many more there are. */
function copiesBeside(same: readonly string[], path: string): string {
  const first = same
    .slice(0, 6)
    .filter((other) => other !== path)
    .slice(0, 5)
  const more = same.length - 1 - first.length
  return [...first, ...(more > 0 ? [`and ${more} more`] : [])].join(', ')
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

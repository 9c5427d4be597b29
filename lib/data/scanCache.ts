/**
 * What was found out about the pictures and captions of a folder, kept in one file outside of it, so that looking at a large
 * folder again opens none of them. An entry holds for a file of the same name, size and time of change; pixels are never in it.
 *
 * The file is a line of JSON about the others (how many entries, their CRC-32), then lines of many entries, each a picture or a caption:
 * a line for each entry would take some 15 % longer to read.
 */
import { createHash } from 'node:crypto'
import { mkdir, readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { crc32 } from 'node:zlib'
import { atomicWrite } from '../io/atomicWrite.ts'
import { inSlices } from '../util/pace.ts'
import type { Fingerprint } from '../util/statFiles.ts'
import type { Orientation } from './headerReader.ts'
import { formatNames, type ImageFormat, type ImageHeader } from './imageHeader.ts'

/** Raised when the same file would now give another entry. */
const layout = 2

/** A header with EXIF taken into account, of a file that is whole. */
export type CachedHeader = Omit<ImageHeader, 'looksComplete'>

type ImageEntry = readonly ['image', string, number, number, ImageFormat, number, number, Orientation]
type CaptionEntry = readonly ['caption', string, number, number, string]

/** A file changed this short before it is read may change again without its time telling. */
const unsettledMs = 2000
const longestCaption = 1 << 14
const entriesInLine = 64

/** `noisewright/scan` in the folder where this system keeps what programs can make anew. */
export function defaultScanCacheFolder(environment: NodeJS.ProcessEnv = process.env): string {
  const home = homedir()
  const fallbacks: Partial<Record<NodeJS.Platform, string>> = {
    win32: environment.LOCALAPPDATA || join(home, 'AppData', 'Local'),
    darwin: join(home, 'Library', 'Caches'),
  }
  const folder = environment.XDG_CACHE_HOME || (fallbacks[process.platform] ?? join(home, '.cache'))
  return join(folder, 'noisewright', 'scan')
}

export class ScanCache {
  /** Where the entries are kept. */
  readonly file: string
  /** Why the file that was there could not be used. */
  readonly warning: string | undefined
  readonly #cacheFolder: string
  readonly #imageDir: string
  readonly #images: Map<string, ImageEntry>
  readonly #captions: Map<string, CaptionEntry>
  readonly #now = Date.now()
  #changed = false

  private constructor(cacheFolder: string, imageDir: string, file: string, { images, captions, problem }: Entries) {
    this.#cacheFolder = cacheFolder
    this.#imageDir = imageDir
    this.file = file
    this.#images = images
    this.#captions = captions
    if (problem === undefined) return
    this.warning = `${file}: the notes of an earlier look at ${imageDir} cannot be used (${problem}): they are made anew`
  }

  /** The cache of a folder of pictures; empty when there is none yet, or it is damaged. */
  static async open(cacheFolder: string, imageDir: string): Promise<ScanCache> {
    const path = resolve(imageDir)
    const name = createHash('sha256').update(path).digest('hex').slice(0, 32)
    const file = join(cacheFolder, `${name}.jsonl`)
    let bytes: Buffer
    try {
      bytes = await readFile(file)
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException
      const isAbsent = code === 'ENOENT' || code === 'ENOTDIR'
      return new ScanCache(cacheFolder, path, file, isAbsent ? noEntries() : noEntries(message))
    }
    return new ScanCache(cacheFolder, path, file, await parseEntries(bytes, path))
  }

  header(name: string, { size, mtimeMs }: Fingerprint): CachedHeader | undefined {
    const entry = this.#images.get(name)
    if (entry === undefined || entry[2] !== size || entry[3] !== mtimeMs) return undefined
    const [, , , , format, width, height, orientation] = entry
    return { format, width, height, orientation }
  }

  setHeader(name: string, { size, mtimeMs }: Fingerprint, header: CachedHeader): void {
    if (this.#now - mtimeMs < unsettledMs) return
    const { format, width, height, orientation } = header
    this.#images.set(name, ['image', name, size, mtimeMs, format, width, height, orientation])
    this.#changed = true
  }

  /** All of the text of a caption file. */
  caption(name: string, { size, mtimeMs }: Fingerprint): string | undefined {
    const entry = this.#captions.get(name)
    return entry !== undefined && entry[2] === size && entry[3] === mtimeMs ? entry[4] : undefined
  }

  setCaption(name: string, { size, mtimeMs }: Fingerprint, bytes: Buffer): void {
    if (this.#now - mtimeMs < unsettledMs || bytes.length > longestCaption || bytes.length !== size) return
    const text = bytes.toString('utf8')
    if (!Buffer.from(text).equals(bytes)) return
    this.#captions.set(name, ['caption', name, size, mtimeMs, text])
    this.#changed = true
  }

  /**
   * Writes the entries of those files that are still there; nothing when all is as it was.
   * @returns a warning when it cannot be written
   */
  async save(names: ReadonlySet<string>): Promise<string | undefined> {
    if (!this.#changed && isWithin(this.#images, names) && isWithin(this.#captions, names)) return undefined
    const kept = [...this.#images.values(), ...this.#captions.values()].filter(([, name]) => names.has(name))
    const lines: string[] = []
    await inSlices(Math.ceil(kept.length / entriesInLine), (i) => {
      lines.push(`${JSON.stringify(kept.slice(i * entriesInLine, (i + 1) * entriesInLine))}\n`)
    })
    const body = Buffer.from(lines.join(''))
    const first = { layout, folder: this.#imageDir, entries: kept.length, crc32: crc32(body) }
    try {
      await mkdir(this.#cacheFolder, { recursive: true })
      await atomicWrite(this.file, [Buffer.from(`${JSON.stringify(first)}\n`), body])
      return undefined
    } catch (error) {
      const advice = 'the next start will look at every file again'
      return `${this.file}: what was found out about ${this.#imageDir} cannot be kept (${(error as Error).message}): ${advice}`
    }
  }
}

interface Entries {
  readonly images: Map<string, ImageEntry>
  readonly captions: Map<string, CaptionEntry>
  /** Why there are none. */
  readonly problem?: string
}

function isWithin(entries: ReadonlyMap<string, unknown>, names: ReadonlySet<string>): boolean {
  for (const name of entries.keys()) if (!names.has(name)) return false
  return true
}

function noEntries(problem?: string): Entries {
  return { images: new Map(), captions: new Map(), ...(problem !== undefined && { problem }) }
}

async function parseEntries(bytes: Buffer, folder: string): Promise<Entries> {
  const end = bytes.indexOf('\n')
  const first = end < 0 ? undefined : parseObject(bytes.toString('utf8', 0, end))
  if (first === undefined) return noEntries('the file is damaged')
  // Of another release, or of another folder whose name has the same hash: no damage, just of no use.
  if (first.layout !== layout || first.folder !== folder) return noEntries()
  const body = bytes.subarray(end + 1)
  if (first.crc32 !== crc32(body)) return noEntries('the file is damaged')
  const lines = body.toString('utf8').split('\n')
  const { images, captions } = noEntries()
  await inSlices(lines.length - 1, (i) => {
    const entries: unknown = JSON.parse(lines[i]!)
    if (!Array.isArray(entries)) return
    for (const entry of entries) {
      if (isImageEntry(entry)) images.set(entry[1], entry)
      else if (isCaptionEntry(entry)) captions.set(entry[1], entry)
    }
  })
  return { images, captions }
}

function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? { ...value } : undefined
  } catch {
    return undefined
  }
}

function isImageEntry(entry: unknown): entry is ImageEntry {
  if (!Array.isArray(entry) || entry.length !== 8 || entry[0] !== 'image' || typeof entry[1] !== 'string') return false
  return entry[4] in formatNames && isSize(entry[5]) && isSize(entry[6]) && isSize(entry[7])
}

function isSize(value: unknown): boolean {
  return Number.isInteger(value) && Number(value) > 0
}

function isCaptionEntry(entry: unknown): entry is CaptionEntry {
  return Array.isArray(entry) && entry[0] === 'caption' && typeof entry[1] === 'string' && typeof entry[4] === 'string'
}

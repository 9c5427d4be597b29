/** Which files of a folder are pictures. */
import type { Dirent } from 'node:fs'
import { opendir, stat } from 'node:fs/promises'
import { isAbsolute, join } from 'node:path'
import { DataError } from '../util/errors.ts'

export const imageExtensions = ['.png', '.jpg', '.jpeg', '.webp', '.bmp', '.avif']

/** Whether a file name counts as a picture: not hidden, and a known extension in any letter case. */
export function isImageName(name: string): boolean {
  const dot = name.lastIndexOf('.')
  return dot > 0 && !name.startsWith('.') && imageExtensions.includes(name.slice(dot).toLowerCase())
}

/** Plain code point order, the same on every machine. */
export function compareCodePoints(a: string, b: string): number {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) {
    const difference = rank(a.charCodeAt(i)) - rank(b.charCodeAt(i))
    if (difference !== 0) return difference
  }
  return a.length - b.length
}

/** Halves of code points above 0xffff (0xd800 to 0xdfff) come last. */
function rank(unit: number): number {
  return unit < 0xd800 ? unit : unit < 0xe000 ? unit + 0x2000 : unit - 0x800
}

/** The entries of a folder by name. @throws DataError when it is missing or not a folder */
export async function readFolder(folder: string): Promise<Dirent[]> {
  return (await readEntries(folder)).sort((a, b) => compareCodePoints(a.name, b.name))
}

/** The entries of a folder, in no particular order. */
async function readEntries(folder: string): Promise<Dirent[]> {
  try {
    const entries: Dirent[] = []
    for await (const entry of await opendir(folder, { bufferSize: 1024 })) entries.push(entry)
    return entries
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const from = isAbsolute(folder) ? '' : ` (looked for from ${process.cwd()})`
    const reasons: Record<string, string> = {
      ENOENT: `the folder does not exist${from}: check the path`,
      ENOTDIR: 'this is a file, a folder was expected',
    }
    throw new DataError(folder, reasons[code ?? ''] ?? `the folder cannot be read: ${message}`, { cause: error })
  }
}

/** Whether an entry is a file, following links. */
export async function isFile(folder: string, entry: Dirent): Promise<boolean> {
  if (!entry.isSymbolicLink()) return entry.isFile()
  return stat(join(folder, entry.name)).then(
    (target) => target.isFile(),
    () => true, // A broken link is reported as unreadable later, not passed over.
  )
}

/** What a look at a folder finds. */
export interface FolderListing {
  /** The pictures directly inside as `<folder>/<name>`, the folder as written, in code point order of the path. */
  readonly images: readonly string[]
  /** The names of everything inside. */
  readonly names: ReadonlySet<string>
}

/** @throws DataError when the folder is missing */
export async function listFolder(folder: string): Promise<FolderListing> {
  const entries = await readEntries(folder)
  const prefix = /[\\/]$/.test(folder) ? folder : `${folder}/`
  const images: string[] = []
  for (const entry of entries) {
    if (isImageName(entry.name) && (entry.isFile() || (await isFile(folder, entry)))) images.push(entry.name)
  }
  const sorted = sortedByCodePoint(images)
  return { images: sorted.map((name) => prefix + name), names: new Set(entries.map((entry) => entry.name)) }
}

/** Without halves of code points, the order of UTF-16 units is the same, and the engine sorts by it faster. */
function sortedByCodePoint(names: string[]): string[] {
  return names.some((name) => /[\ud800-\udfff]/.test(name)) ? names.sort(compareCodePoints) : names.sort()
}

/** The pictures of a folder, as `listFolder` gives them. @throws DataError when the folder is missing */
export async function listImages(folder: string): Promise<readonly string[]> {
  return (await listFolder(folder)).images
}

/** Why a folder without pictures may be empty: hidden files, or pictures one level down. Names the extensions when unclear. */
export async function explainNoImages(folder: string): Promise<string> {
  const entries = await readFolder(folder)
  const hidden = entries.find(({ name }) => name.startsWith('.') && isImageName(name.replace(/^[._]+/, 'x')))
  if (hidden !== undefined) return ` "${hidden.name}" is passed over: names must not begin with a dot.`
  for (const entry of entries.filter((candidate) => candidate.isDirectory())) {
    const inner = await listImages(join(folder, entry.name))
    if (inner.length > 0) {
      return ` Its subfolder "${entry.name}" has ${inner.length}: pictures must be directly inside the folder given.`
    }
  }
  return ` Known extensions are ${imageExtensions.join(', ')}.`
}

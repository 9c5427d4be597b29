/** Which files of a folder are pictures. */
import type { Dirent } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { DataError } from '../util/errors.ts'

const extensions = ['.png', '.jpg', '.jpeg', '.webp', '.bmp']
const accepted = new Set([...extensions, ...extensions.map((extension) => extension.toUpperCase())])

/** Whether a file name counts as a picture: not hidden, and a known extension all in lower or all in upper case. */
export function isImageName(name: string): boolean {
  const dot = name.lastIndexOf('.')
  return !name.startsWith('.') && accepted.has(name.slice(dot))
}

/** Plain code point order, the same on every machine. */
export function compareCodePoints(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}

/** The entries of a folder by name. @throws DataError when it is missing or not a folder */
export async function readFolder(folder: string): Promise<Dirent[]> {
  try {
    const entries = await readdir(folder, { withFileTypes: true })
    return entries.sort((a, b) => compareCodePoints(a.name, b.name))
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const reasons: Record<string, string> = {
      ENOENT: 'the folder does not exist: check the path',
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

/**
 * The pictures directly inside a folder as `<folder>/<name>`, the folder as written, in code point order of the path.
 *
 * @throws DataError when the folder is missing
 */
export async function listImages(folder: string): Promise<string[]> {
  const entries = (await readFolder(folder)).filter((entry) => isImageName(entry.name))
  const kept: string[] = []
  for (const entry of entries) {
    if (await isFile(folder, entry)) kept.push(/[\\/]$/.test(folder) ? folder + entry.name : `${folder}/${entry.name}`)
  }
  return kept
}

/** Why a folder without pictures may be empty: pictures one level down, or extensions in mixed case. Empty when unclear. */
export async function explainNoImages(folder: string): Promise<string> {
  const entries = await readFolder(folder)
  const mixedCase = entries.find(({ name }) => extensions.includes(name.slice(name.lastIndexOf('.')).toLowerCase()))
  if (mixedCase !== undefined) {
    return ` "${mixedCase.name}" is passed over: extensions must be all lower or all upper case, and names must not begin with a dot.`
  }
  for (const entry of entries.filter((candidate) => candidate.isDirectory())) {
    const inner = await listImages(join(folder, entry.name))
    if (inner.length > 0) {
      return ` Its subfolder "${entry.name}" has ${inner.length}: pictures must be directly inside the folder given.`
    }
  }
  return ` Known extensions are ${extensions.join(', ')}.`
}

import { stat } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { DataError } from '../util/errors.ts'
import { readFolder } from './imageFolder.ts'

/** What asking for a folder that cannot exist gives. */
const absent = ['ENOENT', 'ENOTDIR', 'ENAMETOOLONG', 'ELOOP', 'ERR_INVALID_ARG_VALUE']

/** Tells which files exist. Each folder is listed once, so that a million names take no million system calls. */
export class FileIndex {
  readonly #folders = new Map<string, Promise<ReadonlySet<string>>>()

  /** Whether there is a file of this path, links followed. @throws DataError when its folder cannot be read */
  async has(path: string): Promise<boolean> {
    const folder = dirname(path)
    let names = this.#folders.get(folder)
    if (names === undefined) {
      names = fileNames(folder)
      this.#folders.set(folder, names)
    }
    if ((await names).has(basename(path))) return true
    // Elsewhere the system decides which names are the same.
    return process.platform !== 'linux' && isFile(path)
  }
}

async function fileNames(folder: string): Promise<ReadonlySet<string>> {
  const names = new Set<string>()
  try {
    for (const entry of await readFolder(folder)) {
      const follows = entry.isSymbolicLink()
      if (follows ? await isFile(`${folder}/${entry.name}`) : entry.isFile()) names.add(entry.name)
    }
  } catch (error) {
    const cause = error instanceof DataError ? (error.cause as NodeJS.ErrnoException | undefined) : undefined
    if (!absent.includes(cause?.code ?? '')) throw error
  }
  return names
}

async function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isFile(),
    () => false,
  )
}

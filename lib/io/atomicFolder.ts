import { randomBytes } from 'node:crypto'
import { mkdir, open, readdir, realpath, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { IoError } from '../util/errors.ts'
import { finishReplacing, recoverFolders, setAside, takeBack } from './replacedFolders.ts'
import { systemErrorCode, toIoError } from './systemError.ts'
import { removeLeftovers, temporaryName } from './temporaryFiles.ts'

export interface AtomicFolderOptions {
  /** A file that a folder must have to be replaced: one without it holds something else. Empty folders may be replaced. */
  readonly marker: string
}

/**
 * Writes a folder so that its name holds either the previous content or all of the new one, never a mixture.
 *
 * `write` fills a temporary folder beside the target. Then the previous folder, if there is one, is renamed aside, the
 * temporary one takes the name, and the previous one is removed; what it held at its top level and the new one lacks (a
 * README, pictures) moves over. Whatever fails before that, the temporary folder is removed and the previous one stays
 * or comes back. No call of the operating system exchanges two folders portably: a process that is killed between the two
 * renames leaves the previous folder whole, set aside, and the next write beside it or {@link recoverFolder} brings it back. One that
 * is killed earlier leaves its temporary folder behind, which the next write to that place removes.
 *
 * A symbolic link is followed. Missing folders above the target are made.
 *
 * @throws IoError when the operating system refuses, or the target is a file or a folder of something else. What `write`
 *   throws passes through.
 */
export async function atomicFolder(
  path: string,
  write: (temporary: string) => Promise<void>,
  options: AtomicFolderOptions,
): Promise<void> {
  const target = await realpath(path).catch(() => path)
  const parent = dirname(target)
  await recoverFolders(parent)
  const hasPrevious = await expectReplaceable(target, options.marker)
  const temporary = join(parent, temporaryName(randomBytes(6)))
  const aside = temporary.replace(/tmp$/, 'old')
  try {
    await mkdir(parent, { recursive: true })
    await removeLeftovers(parent, { readdir, stat, rm })
    await mkdir(temporary)
    await write(temporary)
    await syncFolders(temporary)
    if (hasPrevious) await setAside(target, aside)
    try {
      await rename(temporary, target)
    } catch (error) {
      if (hasPrevious) await takeBack(aside, target)
      throw error
    }
  } catch (error) {
    await rm(temporary, { recursive: true, force: true }).catch(() => {})
    const state = `nothing was changed: a previous folder of that name is still there`
    throw toIoError(path, 'write the folder', atTarget(error, temporary, path), state)
  }
  if (hasPrevious) await removeReplaced(path, aside, target)
  await syncFolder(parent)
}

/** What failed in the temporary folder, said of the place that the folder was to take. */
function atTarget(error: unknown, temporary: string, path: string): unknown {
  if (!(error instanceof IoError) || !error.path.startsWith(temporary)) return error
  const { space, message } = error
  const options = { cause: error, ...(space && { space }) }
  return new IoError(path + error.path.slice(temporary.length), message.slice(error.path.length + 2), options)
}

/** @returns whether there is a folder of that name */
async function expectReplaceable(target: string, marker: string): Promise<boolean> {
  const status = await stat(target).catch((error: unknown) => {
    if (systemErrorCode(error) === 'ENOENT') return null
    throw toIoError(target, 'write the folder', error)
  })
  if (status === null) return false
  if (!status.isDirectory())
    throw new IoError(target, 'cannot write the folder: there is a file of that name; choose another name')
  const present = await readdir(target)
  if (present.length > 0 && !present.includes(marker))
    throw new IoError(
      target,
      `cannot replace this folder: it is not empty and has no ${marker}, so it holds something else; choose another name`,
    )
  return true
}

/** The new folder has its name by now; what fails here leaves the rest of the previous one beside it. */
async function removeReplaced(path: string, aside: string, target: string): Promise<void> {
  try {
    await finishReplacing(aside, target)
  } catch (error) {
    throw toIoError(path, 'remove the previous folder', error, `the new folder is whole; what is left is in ${aside}`)
  }
}

/** Flushes the names in a folder and below it; the files have been flushed by who wrote them. */
async function syncFolders(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true }))
    if (entry.isDirectory()) await syncFolders(join(folder, entry.name))
  await syncFolder(folder)
}

/** Some systems cannot flush a folder; its files have been flushed by then. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r').catch(() => null)
  await handle?.sync().catch(() => {})
  await handle?.close().catch(() => {})
}

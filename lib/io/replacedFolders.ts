/**
 * Folders that a new one replaces: set aside, and taken back or removed, also after the process that did so was killed. One lies
 * under its own name in a folder `.noisewright-<process>-<random>.old` beside its place.
 */
import { mkdir, readdir, rename, rm, rmdir, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { leftoversIn } from './temporaryFiles.ts'

/** Takes the name from a folder. */
export async function setAside(target: string, aside: string): Promise<void> {
  await mkdir(aside)
  try {
    await rename(target, join(aside, basename(target)))
  } catch (error) {
    await rmdir(aside).catch(() => {})
    throw error
  }
}

/** Gives it back: the new one could not take it. */
export async function takeBack(aside: string, target: string): Promise<void> {
  await rename(join(aside, basename(target)), target)
  await rmdir(aside)
}

/** Moves what the new folder lacks at its top level (a README, pictures) over to it, and removes the rest. */
export async function finishReplacing(aside: string, target: string): Promise<void> {
  const previous = join(aside, basename(target))
  const made = new Set(await readdir(target))
  for (const name of await readdir(previous))
    if (!made.has(name)) await rename(join(previous, name), join(target, name))
  await rm(aside, { recursive: true, force: true })
}

/**
 * Ends in a folder what processes that are gone had begun: a folder set aside whose place is empty comes back; one whose place
 * the new one has is removed. Nothing here fails: what cannot be moved stays.
 */
export async function recoverFolders(parent: string): Promise<void> {
  for (const aside of await leftoversIn(parent, 'old', { readdir, stat })) {
    const names = await readdir(aside).catch(() => [])
    for (const name of names) {
      const target = join(parent, name)
      const ending = (await exists(target)) ? finishReplacing(aside, target) : takeBack(aside, target)
      await ending.catch(() => {})
    }
    if (names.length === 0) await rmdir(aside).catch(() => {})
  }
}

/** Brings back a folder that is about to be read, where a process was killed while it replaced it. */
export async function recoverFolder(path: string): Promise<void> {
  if (!(await exists(path))) await recoverFolders(dirname(path))
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}

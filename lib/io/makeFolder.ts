import { mkdir, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { systemErrorCode, toIoError } from './systemError.ts'

/** The file operations that {@link makeFolder} uses; a test passes ones that fail. */
export interface FolderMaker {
  mkdir(path: string, options?: { readonly recursive: true }): Promise<unknown>
  stat(path: string): Promise<unknown>
}

/** Makes a folder and those above it; one that is there is fine. @throws IoError when the operating system refuses */
export async function makeFolder(path: string, fileSystem: FolderMaker = { mkdir, stat }): Promise<void> {
  try {
    await fileSystem.mkdir(path, { recursive: true })
  } catch (error) {
    throw toIoError(path, 'create the folder', await reasonOf(path, error, fileSystem))
  }
}

/** On a read-only file system, for one, Node says of a folder that it cannot make that there is none. The system tells the reason. */
async function reasonOf(path: string, error: unknown, { mkdir, stat }: FolderMaker): Promise<unknown> {
  if (systemErrorCode(error) !== 'ENOENT') return error
  let missing = path
  for (let parent = dirname(path); parent !== missing; parent = dirname(parent)) {
    const isThere = await stat(parent).then(
      () => true,
      () => false,
    )
    if (isThere) break
    missing = parent
  }
  return mkdir(missing).then(
    () => error,
    (reason: unknown) => reason,
  )
}

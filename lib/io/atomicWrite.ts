import { randomBytes } from 'node:crypto'
import * as nodeFileSystem from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { IoError } from '../util/errors.ts'
import { systemErrorCode, toIoError } from './systemError.ts'

/** What may be written: one piece of text (UTF-8) or bytes, or pieces produced one after the other. */
export type WritableContent = string | Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>

/** The part of an open file that {@link atomicWrite} uses. `fs.promises.FileHandle` fits. */
export interface WritableFile {
  write(data: Uint8Array, offset: number, length: number): Promise<{ readonly bytesWritten: number }>
  sync(): Promise<void>
  stat(): Promise<{ readonly size: number }>
  close(): Promise<void>
}

/** The file operations that {@link atomicWrite} uses. `node:fs/promises` fits; a test passes one that fails. */
export interface WritableFileSystem {
  open(path: string, flags: string): Promise<WritableFile>
  rename(from: string, to: string): Promise<void>
  rm(path: string, options: { readonly force: boolean }): Promise<void>
  stat(path: string): Promise<{ isDirectory(): boolean }>
  realpath(path: string): Promise<string>
}

export interface AtomicWriteOptions {
  /** The size of the whole content in bytes, if known: checked, and named when the disk is full. */
  readonly expectedBytes?: number
  /** Default: `node:fs/promises`. */
  readonly fileSystem?: WritableFileSystem
}

/** One `write` call takes at most this much: below the 2 GiB limit of the system call. */
const MAX_WRITE_BYTES = 1 << 26

/**
 * Writes a file so that its name holds either the previous content or all of the new one, never a part.
 *
 * The bytes go to a temporary file in the same folder, are flushed to the disk and counted; then the temporary file takes
 * the name, and the folder is flushed. Whatever fails before that, the temporary file is removed and the previous file
 * stays as it was. A symbolic link is followed: the file it points to is replaced.
 *
 * @returns the number of bytes written
 * @throws IoError when the operating system refuses (disk full, no permission, no such folder, a folder of that name)
 *   or when the content has not the size that `expectedBytes` promised. What the content's producer throws passes through.
 */
export async function atomicWrite(
  path: string,
  content: WritableContent,
  options: AtomicWriteOptions = {},
): Promise<number> {
  const { expectedBytes, fileSystem = nodeFileSystem } = options
  const target = await resolveTarget(path, fileSystem)
  const folder = dirname(target)
  const temporary = join(folder, `.noisewright-${process.pid}-${randomBytes(6).toString('hex')}.tmp`)
  let written = 0
  let file: WritableFile | undefined
  try {
    file = await fileSystem.open(temporary, 'wx')
    for await (const chunk of chunksOf(content)) {
      for (let offset = 0; offset < chunk.byteLength; ) {
        const length = Math.min(chunk.byteLength - offset, MAX_WRITE_BYTES)
        const { bytesWritten } = await file.write(chunk, offset, length)
        offset += bytesWritten
        written += bytesWritten
      }
    }
    await file.sync()
    await verifySize(path, file, written, expectedBytes)
    await file.close()
    file = undefined
    await fileSystem.rename(temporary, target)
  } catch (error) {
    await file?.close().catch(() => {})
    await fileSystem.rm(temporary, { force: true }).catch(() => {})
    const needed = expectedBytes === undefined ? 'of unknown size' : `of ${expectedBytes} bytes`
    const state = `${written} bytes had been written; nothing was changed: a previous file of that name is still there`
    throw toIoError(path, `write a file ${needed}`, error, state)
  }
  await syncFolder(folder, fileSystem)
  return written
}

/** Follows a symbolic link and refuses a folder before any byte is written. */
async function resolveTarget(path: string, fileSystem: WritableFileSystem): Promise<string> {
  try {
    const target = await fileSystem.realpath(path)
    if ((await fileSystem.stat(target)).isDirectory()) {
      throw new IoError(path, 'cannot write a file: there is a folder of that name; choose another name (EISDIR)')
    }
    return target
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return path
    throw toIoError(path, 'write a file', error)
  }
}

function chunksOf(content: WritableContent): Iterable<Uint8Array> | AsyncIterable<Uint8Array> {
  if (typeof content === 'string') return [new TextEncoder().encode(content)]
  return content instanceof Uint8Array ? [content] : content
}

/** The file system must agree on the size: network file systems have reported success for bytes they then lost. */
async function verifySize(path: string, file: WritableFile, written: number, expected = written): Promise<void> {
  const { size } = await file.stat()
  if (written !== expected) {
    throw new IoError(path, `cannot write a file: ${expected} bytes were announced, but ${written} were produced`)
  }
  if (size !== written) {
    throw new IoError(path, `cannot write a file: wrote ${written} bytes, but the file system holds ${size}; try again`)
  }
}

/**
 * Makes the new name durable. Some systems (Windows, some network file systems) cannot flush a folder; the file itself
 * has been flushed and renamed by then, so that is not an error.
 */
async function syncFolder(folder: string, fileSystem: WritableFileSystem): Promise<void> {
  let handle: WritableFile | undefined
  try {
    handle = await fileSystem.open(folder, 'r')
    await handle.sync()
  } catch {
    // The rename has happened: reporting a failure now would be wrong about the file's state.
  } finally {
    await handle?.close().catch(() => {})
  }
}

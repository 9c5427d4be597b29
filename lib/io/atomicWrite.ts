import { randomBytes } from 'node:crypto'
import * as nodeFileSystem from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { IoError } from '../util/errors.ts'
import { systemErrorCode, toIoError } from './systemError.ts'
import { removeLeftovers, temporaryName } from './temporaryFiles.ts'

/** What may be written: one piece of text (UTF-8) or bytes, or pieces produced one after the other. */
export type WritableContent = string | Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>

/** The part of an open file that {@link atomicWrite} uses. `fs.promises.FileHandle` fits. */
export interface WritableFile {
  write(data: Uint8Array, offset: number, length: number): Promise<{ readonly bytesWritten: number }>
  read(buffer: Uint8Array, offset: number, length: number, position: number): Promise<{ readonly bytesRead: number }>
  sync(): Promise<void>
  stat(): Promise<{ readonly size: number }>
  close(): Promise<void>
}

/** The file operations that {@link atomicWrite} uses. `node:fs/promises` fits; a test passes one that fails. */
export interface WritableFileSystem {
  open(path: string, flags: string): Promise<WritableFile>
  rename(from: string, to: string): Promise<void>
  rm(path: string, options: { readonly force: boolean; readonly recursive?: boolean }): Promise<void>
  stat(path: string): Promise<{ isDirectory(): boolean; isFile(): boolean; readonly mtimeMs: number }>
  statfs(path: string): Promise<{ readonly blocks: number; readonly bavail: number; readonly bsize: number }>
  readdir(path: string): Promise<readonly string[]>
  realpath(path: string): Promise<string>
}

export interface AtomicWriteOptions {
  /**
   * The size of the whole content in bytes, if known: the free space is compared with it before anything is written, and
   * the content must have it.
   */
  readonly expectedBytes?: number
  /**
   * A format's own check: reads the temporary file, which is complete and flushed, and throws when it is not what it should
   * be. Default: none beyond the comparison of bytes.
   */
  readonly verify?: (temporary: string) => Promise<void>
  /** Default: `node:fs/promises`. */
  readonly fileSystem?: WritableFileSystem
}

/**
 * One `write` or `read` call takes at most this much: below the 2 GiB limit of the system call, and its checksum holds the
 * event loop for about a millisecond.
 */
const PIECE_BYTES = 1 << 23

/**
 * What is read again: all of a file up to this size, which holds any LoRA or picture; beyond it one piece in sixteen, and the
 * last one. All of a large file would double the time of a save whose bytes stay in the page cache (benchmarks/README.md).
 */
const WHOLE_BYTES = 1 << 26
const SAMPLE_STRIDE = 16 * PIECE_BYTES

/**
 * Writes a file so that its name holds either the previous content or all of the new one, never a part.
 *
 * The bytes go to a temporary file in the same folder and are flushed to the disk; the file's length is compared with what was
 * produced, and the CRC-32 of the first 64 MiB, of 8 MiB in every 128 after that, and of the end; then it takes the name, and
 * the folder is flushed. Whatever fails before that, the temporary file is removed and the previous file stays as it was. A
 * killed process leaves its temporary file behind; the next write to that folder removes it. A symbolic link is followed:
 * the file it points to is replaced.
 *
 * The second reading finds what file systems and drivers lost on the way into the page cache, and short or torn files; what
 * the disk does to the bytes afterwards is the disk's own checksum's business.
 *
 * @returns the number of bytes written
 * @throws IoError when the operating system refuses (disk full, no permission, no such folder, a folder or device of that name), when
 *   the free space is known to be too small (its `space` says by how much; nothing is written), when the content has not the
 *   size that `expectedBytes` promised, or when it does not read back. What the content's producer throws passes through.
 */
export async function atomicWrite(
  path: string,
  content: WritableContent,
  options: AtomicWriteOptions = {},
): Promise<number> {
  const { expectedBytes, verify, fileSystem = nodeFileSystem } = options
  const target = await resolveTarget(path, fileSystem)
  const folder = dirname(target)
  await removeLeftovers(folder, fileSystem)
  if (expectedBytes !== undefined) await checkSpace(path, folder, expectedBytes, fileSystem)
  const temporary = join(folder, temporaryName(randomBytes(6)))
  const progress: Progress = { bytes: 0, spans: [] }
  let file: WritableFile | undefined
  try {
    file = await fileSystem.open(temporary, 'wx')
    await writeAll(file, content, progress, expectedBytes)
    checkAnnounced(path, progress.bytes, expectedBytes)
    // Both at once: the reading comes from the page cache and costs next to nothing while the disk is busy.
    const outcomes = await Promise.allSettled([file.sync(), compare(path, temporary, progress, fileSystem)])
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
    await file.close()
    file = undefined
    await verify?.(temporary).catch((error: unknown) => {
      throw new IoError(path, `cannot write a file: what was written does not read back: ${(error as Error).message}`, {
        cause: error,
      })
    })
    await fileSystem.rename(temporary, target)
  } catch (error) {
    await file?.close().catch(() => {})
    await fileSystem.rm(temporary, { force: true }).catch(() => {})
    const needed = expectedBytes === undefined ? 'of unknown size' : `of ${expectedBytes} bytes`
    const state = `${progress.bytes} bytes had been written; nothing was changed: a previous file of that name is still there`
    throw toIoError(path, `write a file ${needed}`, error, state)
  }
  await syncFolder(folder, fileSystem)
  return progress.bytes
}

/** Follows a symbolic link and refuses a folder or a device before any byte is written. */
async function resolveTarget(path: string, fileSystem: WritableFileSystem): Promise<string> {
  try {
    const status = await fileSystem.stat(path)
    if (status.isDirectory())
      throw new IoError(path, 'cannot write a file: there is a folder of that name; choose another name (EISDIR)')
    // To rename a file over /dev/null takes it from the whole machine.
    if (!status.isFile())
      throw new IoError(path, 'cannot write a file: this is a device or a pipe, which is not replaced; name a file')
    return await fileSystem.realpath(path)
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return path
    throw toIoError(path, 'write a file', error)
  }
}

/** Refuses what cannot fit. File systems that do not tell (they report no blocks at all, or refuse to answer) are tried. */
async function checkSpace(path: string, folder: string, needed: number, fileSystem: WritableFileSystem): Promise<void> {
  const found = await fileSystem.statfs(folder).catch(() => null)
  if (found === null || found.blocks === 0) return
  const availableBytes = found.bavail * found.bsize
  if (needed <= availableBytes) return
  const advice = 'nothing was written; free some space or choose another folder'
  throw new IoError(
    path,
    `cannot write a file of ${needed} bytes: ${folder} has room for ${availableBytes} bytes (ENOSPC); ${advice}`,
    { space: { folder, neededBytes: needed, availableBytes } },
  )
}

/** Bytes that will be read again. */
interface Span {
  readonly position: number
  length: number
  /** CRC-32. */
  crc: number
}

interface Progress {
  bytes: number
  readonly spans: Span[]
}

async function writeAll(
  file: WritableFile,
  content: WritableContent,
  progress: Progress,
  expectedBytes: number | undefined,
): Promise<void> {
  const { crc32 } = await import('@node-rs/crc32')
  let stretch = 0
  for await (const chunk of chunksOf(content)) {
    for (let start = 0; start < chunk.byteLength; start += PIECE_BYTES) {
      const piece = chunk.subarray(start, start + PIECE_BYTES)
      const position = progress.bytes
      const written = writePiece(file, piece, progress)
      const isSample = Math.floor(position / SAMPLE_STRIDE) !== stretch
      stretch = Math.floor(position / SAMPLE_STRIDE)
      if (position < WHOLE_BYTES || isSample || position + piece.byteLength === expectedBytes) {
        // Computed while a thread of the pool writes.
        const span = spanAt(progress.spans, position)
        span.crc = crc32(piece, span.crc)
        span.length += piece.byteLength
      }
      await written
    }
  }
}

/** The last span if it ends here and is still short, else a new one: small tensors are read again together. */
function spanAt(spans: Span[], position: number): Span {
  const last = spans.at(-1)
  if (last !== undefined && last.position + last.length === position && last.length < PIECE_BYTES) return last
  const span = { position, length: 0, crc: 0 }
  spans.push(span)
  return span
}

/** A disk that is nearly full takes less than it is given before it refuses. */
async function writePiece(file: WritableFile, piece: Uint8Array, progress: Progress): Promise<void> {
  for (let offset = 0; offset < piece.byteLength; ) {
    const { bytesWritten } = await file.write(piece, offset, piece.byteLength - offset)
    offset += bytesWritten
    progress.bytes += bytesWritten
  }
}

function chunksOf(content: WritableContent): Iterable<Uint8Array> | AsyncIterable<Uint8Array> {
  if (typeof content === 'string') return [new TextEncoder().encode(content)]
  return content instanceof Uint8Array ? [content] : content
}

function checkAnnounced(path: string, written: number, expected = written): void {
  if (written !== expected) {
    throw new IoError(path, `cannot write a file: ${expected} bytes were announced, but ${written} were produced`)
  }
}

/** Reads the temporary file again: network file systems have reported success for bytes they then lost. */
async function compare(
  path: string,
  temporary: string,
  { bytes, spans }: Progress,
  fileSystem: WritableFileSystem,
): Promise<void> {
  const { crc32 } = await import('@node-rs/crc32')
  const file = await fileSystem.open(temporary, 'r')
  try {
    const { size } = await file.stat()
    if (size !== bytes) {
      throw new IoError(path, `cannot write a file: wrote ${bytes} bytes, but the file system holds ${size}; try again`)
    }
    const buffer = new Uint8Array(Math.min(bytes, PIECE_BYTES))
    for (const { position, length, crc } of spans) {
      let found = 0
      for (let done = 0; done < length; ) {
        const part = Math.min(length - done, buffer.byteLength)
        const { bytesRead } = await file.read(buffer, 0, part, position + done)
        if (bytesRead === 0) break
        found = crc32(buffer.subarray(0, bytesRead), found)
        done += bytesRead
      }
      if (found === crc) continue
      const message = `other bytes read back at ${position} (CRC-32 ${hex(found)}, expected ${hex(crc)})`
      throw new IoError(path, `cannot write a file: ${message}; check the disk and the memory, and try again`)
    }
  } finally {
    await file.close().catch(() => {})
  }
}

function hex(crc: number): string {
  return (crc >>> 0).toString(16).padStart(8, '0')
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

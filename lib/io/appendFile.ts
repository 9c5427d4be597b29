import { type FileHandle, mkdir, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { DisposedError } from '../util/errors.ts'
import { toIoError } from './systemError.ts'

export interface OpenAppendFileOptions {
  /**
   * What to do with a file that exists: `refuse` it, `replace` it, or go on after its last whole line, `continueLines`; what a
   * killed process left of another line is cut off. Default: refuse.
   */
  readonly existing?: 'refuse' | 'replace' | 'continueLines'
}

const lineEnd = 0x0a
const pieceBytes = 1 << 16

/** Opens a log for appending; its folder is made if missing. @throws IoError when that is not possible */
export async function openAppendFile(path: string, options: OpenAppendFileOptions = {}): Promise<AppendFile> {
  const { existing = 'refuse' } = options
  let file: FileHandle | undefined
  try {
    await mkdir(dirname(path), { recursive: true })
    file = await open(path, existing === 'refuse' ? 'ax' : 'a+')
    if (existing === 'replace') await file.truncate()
    if (existing === 'continueLines') await cutTornLine(file)
    return new AppendFile(path, file)
  } catch (error) {
    await file?.close()
    throw toIoError(path, 'open a log', error)
  }
}

async function cutTornLine(file: FileHandle): Promise<void> {
  const { size } = await file.stat()
  let kept = size
  while (kept > 0) {
    const from = Math.max(0, kept - pieceBytes)
    const { buffer, bytesRead } = await file.read(Buffer.alloc(kept - from), 0, kept - from, from)
    const last = buffer.subarray(0, bytesRead).lastIndexOf(lineEnd)
    kept = last < 0 ? from : from + last + 1
    if (last >= 0) break
  }
  if (kept < size) await file.truncate(kept)
}

/** A file that only grows, record by record. Each is in it whole or not at all, and with the operating system when `append` resolves. */
export class AppendFile {
  readonly path: string
  #file: FileHandle | undefined
  // Records are written one after the other, in the order of the calls; a failed one does not stop the next.
  #last: Promise<unknown> = Promise.resolve()

  /** @internal */
  constructor(path: string, file: FileHandle) {
    this.path = path
    this.#file = file
  }

  /** @throws IoError when the record cannot be written; DisposedError after `close` */
  async append(record: Uint8Array): Promise<void> {
    const file = this.#file
    if (file === undefined) throw new DisposedError(`${this.path}: append() was called after close()`)
    const written = this.#last.then(() => appendWhole(file, record))
    this.#last = written.catch(() => {})
    await written.catch((error: unknown) => {
      throw toIoError(this.path, `append ${record.byteLength} bytes`, error)
    })
  }

  /** Waits for pending records, flushes them to the disk and closes the file. A second call does nothing. */
  async close(): Promise<void> {
    const file = this.#file
    this.#file = undefined
    if (file === undefined) return
    await this.#last
    await file.sync().catch(() => {}) // a file system without fsync has still got the bytes
    await file.close()
  }
}

/** A record that could not be written whole (disk full) is cut off again: readers stop at a torn one. */
async function appendWhole(file: FileHandle, record: Uint8Array): Promise<void> {
  const { size } = await file.stat()
  try {
    for (let offset = 0; offset < record.byteLength; ) {
      const { bytesWritten } = await file.write(record, offset)
      offset += bytesWritten
    }
  } catch (error) {
    await file.truncate(size).catch(() => {})
    throw error
  }
}

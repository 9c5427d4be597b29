import { open } from 'node:fs/promises'
import { IoError } from '../util/errors.ts'
import { toIoError } from './systemError.ts'

/** Random access to the bytes of one file. A memory map can stand in for positional reads. */
export interface ByteSource {
  /** Length of the file in bytes, as it was when the source was opened. */
  readonly size: number
  /** The open file, for readers that go to the operating system themselves; absent where there is none. */
  readonly descriptor?: number
  /**
   * The bytes `[offset, offset + length)`, in memory that the caller owns and that starts at a multiple of 8 bytes.
   *
   * @throws IoError when the file ends earlier or cannot be read
   */
  read(offset: number, length: number): Promise<Uint8Array>
  close(): Promise<void>
}

/** One `read` call takes at most this much: below the 2 GiB limit of the system call. */
const MAX_READ_BYTES = 1 << 28

/**
 * Opens a file for positional reads.
 *
 * @throws IoError when there is no such file, it is a folder, or it may not be read
 */
export async function openByteSource(path: string): Promise<ByteSource> {
  try {
    const file = await open(path, 'r')
    const status = await file.stat()
    if (!status.isFile()) {
      await file.close()
      throw new IoError(path, 'cannot read: this is not a regular file; check the path')
    }
    return {
      size: status.size,
      descriptor: file.fd,
      read: async (offset, length) => {
        const bytes = new Uint8Array(length)
        for (let done = 0; done < length; ) {
          const part = Math.min(length - done, MAX_READ_BYTES)
          const { bytesRead } = await file.read(bytes, done, part, offset + done).catch((error: unknown) => {
            throw toIoError(path, `read ${length} bytes at offset ${offset}`, error)
          })
          if (bytesRead === 0) {
            const found = offset + done
            throw new IoError(path, `cannot read ${length} bytes at offset ${offset}: the file ends at byte ${found}`)
          }
          done += bytesRead
        }
        return bytes
      },
      close: () => file.close(),
    }
  } catch (error) {
    throw toIoError(path, 'read', error)
  }
}

import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { systemErrorCode, toIoError } from './systemError.ts'

/** The part of a file that the short hash covers: 64 KiB from 1 MiB on. */
export const LEGACY_HASH_START = 0x100000
export const LEGACY_HASH_BYTES = 0x10000

/**
 * SHA-256 of a whole file, 64 hexadecimal digits.
 *
 * @throws IoError when the file cannot be read
 */
export async function sha256File(path: string): Promise<string> {
  const hash = createHash('sha256')
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer)
  } catch (error) {
    throw toIoError(path, 'read', error)
  }
  return hash.digest('hex')
}

/**
 * The short hash that older Stable Diffusion tools identify a model by: the first 8 hexadecimal digits of the SHA-256 of
 * 64 KiB at 1 MiB (`e3b0c442`, the hash of nothing, for a shorter file). `NOFILE` when there is no such file,
 * `IsADirectory` when it is a folder or may not be read.
 */
export async function legacyFileHash(path: string): Promise<string> {
  try {
    const file = await open(path, 'r')
    try {
      const bytes = new Uint8Array(LEGACY_HASH_BYTES)
      let length = 0
      for (let read = 1; read > 0 && length < bytes.length; length += read) {
        const part = await file.read(bytes, length, bytes.length - length, LEGACY_HASH_START + length)
        read = part.bytesRead
      }
      return createHash('sha256').update(bytes.subarray(0, length)).digest('hex').slice(0, 8)
    } finally {
      await file.close()
    }
  } catch (error) {
    const code = systemErrorCode(error)
    if (code === 'ENOENT') return 'NOFILE'
    if (code === 'EISDIR' || code === 'EACCES' || code === 'EPERM') return 'IsADirectory'
    throw toIoError(path, 'read', error)
  }
}

import type { ByteSource } from '../../lib/io/byteSource.ts'
import { IoError } from '../../lib/util/errors.ts'

/** Bytes as an open file. Counts what was read: a parser's memory is bounded by what it asks for. */
export function memorySource(bytes: Uint8Array): ByteSource & { readonly largestRead: () => number } {
  let largest = 0
  return {
    size: bytes.byteLength,
    largestRead: () => largest,
    read: async (offset, length) => {
      largest = Math.max(largest, length)
      if (!(offset >= 0 && length >= 0 && offset + length <= bytes.byteLength)) {
        throw new IoError('memory', `cannot read ${length} bytes at offset ${offset}: the file ends earlier`)
      }
      return new Uint8Array(bytes.subarray(offset, offset + length))
    },
    close: async () => {},
  }
}

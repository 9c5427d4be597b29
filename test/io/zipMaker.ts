/** Zip archives with any field wrong, for tests of what must be refused. */
import { crc32 } from 'node:zlib'

export interface ZipPart {
  readonly name: string | Uint8Array
  readonly data: Uint8Array
  /** Fields of the central directory that lie. */
  readonly central?: Partial<ZipFields>
  /** Fields of the local header that lie. */
  readonly local?: Partial<ZipFields>
}

export interface ZipFields {
  readonly name: string
  readonly flags: number
  readonly method: number
  readonly compressed: number
  readonly uncompressed: number
  readonly offset: number
}

export interface ZipEnd {
  readonly count?: number
  readonly directoryOffset?: number
}

/** A correct archive, but for the fields that are given. */
export function makeZip(parts: readonly ZipPart[], end: ZipEnd = {}): Buffer {
  const chunks: Buffer[] = []
  const directory: Buffer[] = []
  let offset = 0
  for (const { name, data, central = {}, local = {} } of parts) {
    const localName = Buffer.from(local.name ?? name)
    const head = Buffer.alloc(30)
    head.writeUInt32LE(0x04034b50, 0)
    head.writeUInt16LE(20, 4)
    head.writeUInt16LE(local.flags ?? 0, 6)
    head.writeUInt16LE(local.method ?? 0, 8)
    head.writeUInt32LE(crc32(data), 14)
    head.writeUInt32LE(local.compressed ?? data.byteLength, 18)
    head.writeUInt32LE(local.uncompressed ?? data.byteLength, 22)
    head.writeUInt16LE(localName.byteLength, 26)
    const centralName = Buffer.from(central.name ?? name)
    const record = Buffer.alloc(46)
    record.writeUInt32LE(0x02014b50, 0)
    record.writeUInt16LE(20, 4)
    record.writeUInt16LE(20, 6)
    record.writeUInt16LE(central.flags ?? 0, 8)
    record.writeUInt16LE(central.method ?? 0, 10)
    record.writeUInt32LE(crc32(data), 16)
    record.writeUInt32LE(central.compressed ?? data.byteLength, 20)
    record.writeUInt32LE(central.uncompressed ?? data.byteLength, 24)
    record.writeUInt16LE(centralName.byteLength, 28)
    record.writeUInt32LE(central.offset ?? offset, 42)
    directory.push(record, centralName)
    chunks.push(head, localName, Buffer.from(data))
    offset += head.byteLength + localName.byteLength + data.byteLength
  }
  const tail = Buffer.alloc(22)
  tail.writeUInt32LE(0x06054b50, 0)
  tail.writeUInt16LE(end.count ?? parts.length, 8)
  tail.writeUInt16LE(end.count ?? parts.length, 10)
  tail.writeUInt32LE(Buffer.concat(directory).byteLength, 12)
  tail.writeUInt32LE(end.directoryOffset ?? offset, 16)
  return Buffer.concat([...chunks, ...directory, tail])
}

/**
 * Writes zip archives of stored entries. Written by hand because PyTorch maps the tensors of a file into memory: their data
 * must start at multiples of 64 bytes, which a general zip writer has no way to ask for.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { crc32 } from 'node:zlib'
import { ArgumentError } from '../util/errors.ts'

/** One file to be stored. */
export interface StoredZipItem {
  readonly name: string
  readonly byteLength: number
  /** The bytes, or a function that fetches them when their turn comes. */
  readonly data: Uint8Array | (() => Promise<Uint8Array>)
}

/** An archive whose size is known before its data is fetched. */
export interface StoredZipPlan {
  readonly byteLength: number
  /** The archive's bytes. At most one item given as a function is in memory at a time. */
  chunks(): AsyncGenerator<Uint8Array>
}

/** PyTorch's alignment of tensor data. */
const ALIGNMENT = 64
/** PyTorch's padding field: any reader skips extra fields it does not know. */
const PADDING_FIELD = 0x4246
const PADDING_BYTE = 0x5a
const MAX_32 = 0xffffffff
const MAX_16 = 0xffff
/** Names are UTF-8. */
const UTF8_FLAG = 0x800
/** 1 January 1980, the first date that zip knows: equal contents make equal files. */
const FIRST_DATE = 0x21
/** The checksum is computed in turns of this size, so that a large tensor does not hold up the event loop. */
const CHECKSUM_SLICE_BYTES = 1 << 24

interface Placed {
  readonly item: StoredZipItem
  readonly name: Uint8Array
  readonly offset: number
  readonly padding: number
  readonly large: boolean
}

/**
 * Lays out an archive: each entry's data starts at a multiple of 64 bytes; zip64 fields appear where 32 bits do not suffice.
 *
 * @throws ArgumentError when names repeat
 */
export function planStoredZip(items: readonly StoredZipItem[]): StoredZipPlan {
  const names = new Set<string>()
  const entries: Placed[] = []
  let offset = 0
  let directoryBytes = 0
  for (const item of items) {
    if (names.has(item.name)) throw new ArgumentError('planStoredZip', 'names', 'distinct', item.name)
    names.add(item.name)
    const name = Buffer.from(item.name)
    const large = item.byteLength >= MAX_32
    const headerBytes = 30 + name.byteLength + (large ? 20 : 0)
    const padding = 4 + mod(-(offset + headerBytes + 4), ALIGNMENT)
    const entry: Placed = { item, name, offset, padding, large }
    entries.push(entry)
    offset += headerBytes + padding + item.byteLength
    directoryBytes += centralRecord(entry, 0).byteLength
  }
  const end = endRecords(entries.length, offset, directoryBytes)
  return {
    byteLength: offset + directoryBytes + end.byteLength,
    async *chunks() {
      const records: Uint8Array[] = []
      for (const entry of entries) {
        const { item } = entry
        const data = typeof item.data === 'function' ? await item.data() : item.data
        if (data.byteLength !== item.byteLength) {
          const wanted = `${item.byteLength} bytes`
          throw new ArgumentError('planStoredZip', `the data of "${item.name}"`, wanted, `${data.byteLength} bytes`)
        }
        const checksum = await checksumOf(data)
        records.push(centralRecord(entry, checksum))
        yield localHeader(entry, checksum)
        yield data
      }
      yield Buffer.concat([...records, end])
    },
  }
}

/** CRC-32 of bytes, giving way to other work between slices. */
export async function checksumOf(data: Uint8Array): Promise<number> {
  let value = 0
  for (let start = 0; start < data.byteLength; start += CHECKSUM_SLICE_BYTES) {
    if (start > 0) await nextTurn()
    value = crc32(data.subarray(start, start + CHECKSUM_SLICE_BYTES), value)
  }
  return value
}

function mod(value: number, by: number): number {
  return ((value % by) + by) % by
}

function localHeader({ item, name, padding, large }: Placed, checksum: number): Uint8Array {
  const zip64Bytes = large ? 20 : 0
  const header = Buffer.alloc(30 + name.byteLength + zip64Bytes + padding)
  header.writeUInt32LE(0x04034b50, 0)
  writeCommon(header, 4, large, checksum, item.byteLength)
  header.writeUInt16LE(name.byteLength, 26)
  header.writeUInt16LE(zip64Bytes + padding, 28)
  header.set(name, 30)
  let at = 30 + name.byteLength
  if (large) at = writeZip64Field(header, at, [item.byteLength, item.byteLength])
  header.writeUInt16LE(PADDING_FIELD, at)
  header.writeUInt16LE(padding - 4, at + 2)
  header.fill(PADDING_BYTE, at + 4)
  return header
}

function centralRecord({ item, name, offset, large }: Placed, checksum: number): Uint8Array {
  const far = offset >= MAX_32
  const wide = [...(large ? [item.byteLength, item.byteLength] : []), ...(far ? [offset] : [])]
  const extraBytes = wide.length === 0 ? 0 : 4 + 8 * wide.length
  const record = Buffer.alloc(46 + name.byteLength + extraBytes)
  record.writeUInt32LE(0x02014b50, 0)
  record.writeUInt16LE(45, 4)
  writeCommon(record, 6, large || far, checksum, item.byteLength)
  record.writeUInt16LE(name.byteLength, 28)
  record.writeUInt16LE(extraBytes, 30)
  record.writeUInt32LE(Math.min(offset, MAX_32), 42)
  record.set(name, 46)
  if (wide.length > 0) writeZip64Field(record, 46 + name.byteLength, wide)
  return record
}

/** The fields that both headers have, in the same order: version, flags, method, time, date, checksum, two sizes. */
function writeCommon(buffer: Buffer, at: number, zip64: boolean, checksum: number, byteLength: number): void {
  buffer.writeUInt16LE(zip64 ? 45 : 20, at)
  buffer.writeUInt16LE(UTF8_FLAG, at + 2)
  buffer.writeUInt16LE(FIRST_DATE, at + 8)
  buffer.writeUInt32LE(checksum, at + 10)
  buffer.writeUInt32LE(Math.min(byteLength, MAX_32), at + 14)
  buffer.writeUInt32LE(Math.min(byteLength, MAX_32), at + 18)
}

/** @returns the position after the field */
function writeZip64Field(buffer: Buffer, at: number, values: readonly number[]): number {
  buffer.writeUInt16LE(1, at)
  buffer.writeUInt16LE(8 * values.length, at + 2)
  for (const [index, value] of values.entries()) buffer.writeBigUInt64LE(BigInt(value), at + 4 + 8 * index)
  return at + 4 + 8 * values.length
}

/** The records after the directory; those of zip64 only where they are needed. */
function endRecords(count: number, directoryOffset: number, directoryBytes: number): Uint8Array {
  const zip64 = count >= MAX_16 || directoryOffset >= MAX_32 || directoryBytes >= MAX_32
  const end = Buffer.alloc(22)
  end.writeUInt32LE(0x06054b50, 0)
  end.writeUInt16LE(Math.min(count, MAX_16), 8)
  end.writeUInt16LE(Math.min(count, MAX_16), 10)
  end.writeUInt32LE(Math.min(directoryBytes, MAX_32), 12)
  end.writeUInt32LE(Math.min(directoryOffset, MAX_32), 16)
  if (!zip64) return end
  const wide = Buffer.alloc(76)
  wide.writeUInt32LE(0x06064b50, 0)
  wide.writeBigUInt64LE(44n, 4)
  wide.writeUInt16LE(45, 12)
  wide.writeUInt16LE(45, 14)
  wide.writeBigUInt64LE(BigInt(count), 24)
  wide.writeBigUInt64LE(BigInt(count), 32)
  wide.writeBigUInt64LE(BigInt(directoryBytes), 40)
  wide.writeBigUInt64LE(BigInt(directoryOffset), 48)
  wide.writeUInt32LE(0x07064b50, 56)
  wide.writeBigUInt64LE(BigInt(directoryOffset + directoryBytes), 64)
  wide.writeUInt32LE(1, 72)
  return Buffer.concat([wide, end])
}

/** Zip archives whose entries are stored uncompressed: the container of PyTorch's files and of `.npz`. */
import type { Entry, LocalFileHeader, ZipFile } from 'yauzl'
import { CheckpointError } from '../util/errors.ts'
import type { ByteSource } from './byteSource.ts'

/** One file of an archive: its bytes lie in the archive as they are. */
export interface StoredZipEntry {
  readonly name: string
  /** Position of the first byte of the entry's data, from the start of the archive. */
  readonly byteOffset: number
  readonly byteLength: number
  /** As the archive states it; not compared with the data here. */
  readonly crc32: number
}

export interface ReadStoredZipOptions {
  /** Most entries accepted. Default: 200,000, a hundred times what a Stable Diffusion checkpoint has. */
  readonly maxEntries?: number
  /** What to do about a compressed entry, appended to the refusal. */
  readonly compressedAdvice?: string
}

/** Shortest central directory record, and shortest local header. */
const CENTRAL_RECORD_BYTES = 46
const LOCAL_HEADER_BYTES = 30
/** yauzl asks for a few dozen bytes at a time; one read from the disk serves several of its requests. */
const READ_AHEAD_BYTES = 4096
const DATA_DESCRIPTOR_FLAG = 0x8
const ENCRYPTED_FLAG = 0x1
const UNKNOWN_SIZE = 0xffffffff

/**
 * Reads and checks the directory of a zip archive, and returns its entries in the order of the directory.
 *
 * Nothing can be larger than the file says: entries must be stored as they are (no compression, so no zip bombs; no
 * encryption), lie inside the file before the directory, and share no bytes. Names must be distinct relative paths. Each
 * entry's local header must say the same as the directory, since other readers believe the one or the other.
 *
 * @param path named in errors
 * @throws CheckpointError for an archive that breaks one of these rules, naming the entry
 */
export async function readStoredZip(
  path: string,
  source: ByteSource,
  options: ReadStoredZipOptions = {},
): Promise<ReadonlyMap<string, StoredZipEntry>> {
  const { maxEntries = 200_000, compressedAdvice = 'store it uncompressed' } = options
  const zip = await openZip(path, source)
  const directoryOffset = zip.readEntryCursor as unknown as number
  try {
    const possible = Math.floor(source.size / (CENTRAL_RECORD_BYTES + LOCAL_HEADER_BYTES))
    if (zip.entryCount > Math.min(possible, maxEntries)) {
      const most = `at most ${Math.min(possible, maxEntries)} entries in a zip file of ${source.size} bytes`
      throw new CheckpointError(path, `expected ${most}, found ${zip.entryCount} announced; the file is damaged`)
    }
    const entries: Placed[] = []
    const names = new Set<string>()
    for await (const entry of zip.eachEntry()) {
      const name = checkedName(path, entry.fileNameRaw)
      if (names.has(name)) throw new CheckpointError(path, `the zip entry "${name}" occurs twice; the file is damaged`)
      names.add(name)
      checkStored(path, name, entry, compressedAdvice)
      const local = await zip.readLocalFileHeaderPromise(entry)
      checkLocalHeader(path, name, entry, local)
      entries.push({
        name,
        byteOffset: local.fileDataStart,
        byteLength: entry.uncompressedSize,
        crc32: entry.crc32,
        start: entry.relativeOffsetOfLocalHeader,
      })
    }
    checkLayout(path, entries, directoryOffset)
    return new Map(
      entries.map(({ name, byteOffset, byteLength, crc32 }) => [name, { name, byteOffset, byteLength, crc32 }]),
    )
  } catch (error) {
    throw asCheckpointError(path, error)
  }
}

interface Placed extends StoredZipEntry {
  /** Position of the local header. */
  readonly start: number
}

/** Lets yauzl read through our source, so that every byte comes from the file that was opened. */
async function openZip(path: string, source: ByteSource): Promise<ZipFile> {
  const { fromRandomAccessReaderPromise, RandomAccessReader } = await import('yauzl')
  let ahead: { start: number; bytes: Uint8Array } = { start: 0, bytes: new Uint8Array(0) }
  const fill = async (buffer: Buffer, offset: number, length: number, position: number): Promise<void> => {
    if (!(position >= 0 && position + length <= source.size)) {
      const message = `expected ${length} bytes of the zip directory at byte ${position}, found the end of the file at ${source.size}; the file is cut short or damaged`
      throw new CheckpointError(path, message)
    }
    if (position < ahead.start || position + length > ahead.start + ahead.bytes.byteLength) {
      const wanted = Math.min(Math.max(length, READ_AHEAD_BYTES), source.size - position)
      ahead = { start: position, bytes: await source.read(position, wanted) }
    }
    const from = position - ahead.start
    buffer.set(ahead.bytes.subarray(from, from + length), offset)
  }
  class SourceReader extends RandomAccessReader {
    override read(
      buffer: Buffer,
      offset: number,
      length: number,
      position: number,
      callback: (error: Error | null, bytesRead?: number) => void,
    ): void {
      // yauzl's own callback must not run inside the promise: what it throws would come back as a second call.
      const settle = (error: Error | null): unknown => setImmediate(callback, error, length)
      fill(buffer, offset, length, position).then(() => settle(null), settle)
    }
  }
  const settings = { autoClose: false, lazyEntries: true, decodeStrings: false, validateEntrySizes: false }
  try {
    return await fromRandomAccessReaderPromise(new SourceReader(), source.size, settings)
  } catch (error) {
    throw asCheckpointError(path, error)
  }
}

function asCheckpointError(path: string, error: unknown): unknown {
  if (!(error instanceof Error) || error.constructor !== Error) return error
  return new CheckpointError(path, `the zip directory cannot be read: ${error.message}; the file is damaged`, {
    cause: error,
  })
}

function checkedName(path: string, raw: Uint8Array): string {
  let name: string
  try {
    name = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(raw)
  } catch (error) {
    const found = Buffer.from(raw).toString('latin1')
    throw new CheckpointError(path, `expected zip entry names in UTF-8, found ${JSON.stringify(found)}`, {
      cause: error,
    })
  }
  const unsafe = name === '' || /^[/\\]|^[a-zA-Z]:|\\|\0/.test(name) || name.split('/').includes('..')
  if (unsafe) {
    const expected = 'expected relative names without "..", backslashes and zero bytes'
    throw new CheckpointError(path, `${expected} in the zip file, found ${JSON.stringify(name)}; do not trust the file`)
  }
  return name
}

function checkStored(path: string, name: string, entry: Entry, advice: string): void {
  if ((entry.generalPurposeBitFlag & ENCRYPTED_FLAG) !== 0) {
    throw new CheckpointError(path, `the zip entry "${name}" is encrypted; expected plain data`)
  }
  if (entry.compressionMethod !== 0) {
    const method = entry.compressionMethod === 8 ? 'deflate' : `method ${entry.compressionMethod}`
    throw new CheckpointError(path, `the zip entry "${name}" is compressed (${method}); ${advice}`)
  }
  if (entry.compressedSize !== entry.uncompressedSize) {
    const sizes = `${entry.compressedSize} bytes in the file and ${entry.uncompressedSize} unpacked`
    throw new CheckpointError(path, `the zip entry "${name}" is stored, but claims ${sizes}; the file is damaged`)
  }
}

/**
 * With a data descriptor, writers leave zero or the zip64 mark as the sizes of the local header, or the true sizes; the
 * descriptor itself is not read: the directory's sizes count, and no entry may reach into another.
 */
function checkLocalHeader(path: string, name: string, entry: Entry, local: LocalFileHeader): void {
  const fail = (what: string, expected: unknown, found: unknown): CheckpointError =>
    new CheckpointError(
      path,
      `the zip entry "${name}" has two ${what}: ${expected} in the directory, ${found} at its data; do not trust the file`,
    )
  if (!Buffer.from(entry.fileNameRaw).equals(local.fileName)) {
    throw fail('names', JSON.stringify(name), JSON.stringify(local.fileName.toString('latin1')))
  }
  if (local.compressionMethod !== entry.compressionMethod) {
    throw fail('methods', entry.compressionMethod, local.compressionMethod)
  }
  if ((local.generalPurposeBitFlag & ENCRYPTED_FLAG) !== 0) throw fail('states', 'plain', 'encrypted')
  const described = (local.generalPurposeBitFlag & DATA_DESCRIPTOR_FLAG) !== 0
  const [uncompressed, compressed] = localSizes(local)
  for (const size of [uncompressed, compressed]) {
    if (size === entry.uncompressedSize) continue
    if (!(described && (size === 0 || size === UNKNOWN_SIZE))) throw fail('sizes', entry.uncompressedSize, size)
  }
}

/** The sizes of a local header, from its zip64 field where it has one. */
function localSizes(local: LocalFileHeader): [uncompressed: number, compressed: number] {
  const { uncompressedSize, compressedSize, extraField } = local
  if (uncompressedSize !== UNKNOWN_SIZE && compressedSize !== UNKNOWN_SIZE) return [uncompressedSize, compressedSize]
  for (let at = 0; at + 4 <= extraField.length; ) {
    const length = extraField.readUInt16LE(at + 2)
    if (extraField.readUInt16LE(at) === 1 && length >= 16 && at + 20 <= extraField.length) {
      return [Number(extraField.readBigUInt64LE(at + 4)), Number(extraField.readBigUInt64LE(at + 12))]
    }
    at += 4 + length
  }
  return [uncompressedSize, compressedSize]
}

/** Every entry, with its header, in bytes of its own before the directory: so their sizes add up to less than the file. */
function checkLayout(path: string, entries: readonly Placed[], directoryOffset: number): void {
  let end = 0
  let previous = ''
  for (const { name, start, byteOffset, byteLength } of [...entries].sort((a, b) => a.start - b.start)) {
    if (start < end) {
      const overlap = `the zip entries "${previous}" and "${name}" overlap`
      throw new CheckpointError(path, `${overlap}: the second starts at byte ${start}, the first ends at ${end}`)
    }
    end = byteOffset + byteLength
    if (!(end <= directoryOffset)) {
      const expected = `expected the zip entry "${name}" to end before the directory at byte ${directoryOffset}`
      throw new CheckpointError(path, `${expected}, found its end at ${end}; the file is damaged`)
    }
    previous = name
  }
}

import { ArgumentError, CheckpointError } from '../util/errors.ts'
import { scanJson } from './jsonScan.ts'
import { type FileDType, fileDTypeBytes, isFileDType } from './tensorBytes.ts'

/** Where one tensor lies in a safetensors file. */
export interface SafetensorsInfo {
  readonly name: string
  readonly dtype: FileDType
  /** Empty for a scalar. */
  readonly shape: readonly number[]
  /** Position of the first byte, counted from the start of the file. */
  readonly byteOffset: number
  readonly byteLength: number
}

export interface SafetensorsHeader {
  readonly metadata: ReadonlyMap<string, string>
  /** In the order of their bytes in the file. */
  readonly tensors: ReadonlyMap<string, SafetensorsInfo>
}

/** Longest JSON header accepted, the same limit as in the reference implementation. */
export const MAX_HEADER_BYTES = 100_000_000
/** A header is an object of objects with lists. Ten values describe a tensor; a checkpoint has a few thousand tensors. */
const HEADER_LIMITS = { depth: 3, values: 4_000_000 }

/**
 * Reads the JSON header of a safetensors file and checks everything a reader later relies on: known types, byte counts
 * that follow from shapes, tensors that follow each other without gap or overlap and end where the file ends.
 *
 * @param text the header's bytes, without the 8 bytes of length before them
 * @param fileBytes size of the whole file
 * @throws CheckpointError naming the tensor, what was expected and what was found
 */
export function parseSafetensorsHeader(path: string, text: Uint8Array, fileBytes: number): SafetensorsHeader {
  const dataStart = 8 + text.byteLength
  const metadata = new Map<string, string>()
  const tensors: SafetensorsInfo[] = []
  for (const [name, entry] of Object.entries(parseJson(path, text))) {
    if (name === '__metadata__') readMetadata(path, entry, metadata)
    else tensors.push(readEntry(path, name, entry, dataStart))
  }
  tensors.sort((a, b) => a.byteOffset - b.byteOffset || a.byteLength - b.byteLength)
  checkLayout(path, tensors, dataStart, fileBytes)
  return { metadata, tensors: new Map(tensors.map((info) => [info.name, info])) }
}

function parseJson(path: string, text: Uint8Array): object {
  try {
    const json = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(text)
    const problem = scanJson(json, HEADER_LIMITS)
    if (problem !== undefined) {
      throw new CheckpointError(
        path,
        `expected a header of tensors and metadata, found ${problem}; the file is damaged`,
      )
    }
    const value: unknown = JSON.parse(json)
    if (isObject(value)) return value
  } catch (error) {
    if (error instanceof CheckpointError) throw error
    const message = `the header is not JSON text; the file is damaged or not a safetensors file (${(error as Error).message})`
    throw new CheckpointError(path, message, { cause: error })
  }
  throw new CheckpointError(path, 'the header is JSON, but not an object; the file is damaged')
}

function readMetadata(path: string, entry: unknown, metadata: Map<string, string>): void {
  if (!isObject(entry)) throw new CheckpointError(path, '__metadata__ in the header must be an object of texts')
  for (const [key, value] of Object.entries(entry)) {
    if (typeof value !== 'string') {
      throw new CheckpointError(path, `metadata "${key}" must be a text, found ${JSON.stringify(value)}`)
    }
    metadata.set(key, value)
  }
}

function readEntry(path: string, name: string, entry: unknown, dataStart: number): SafetensorsInfo {
  const fail = (expected: string, found: unknown): CheckpointError =>
    new CheckpointError(
      path,
      `tensor "${name}": expected ${expected}, found ${JSON.stringify(found)}; the file is damaged`,
    )
  if (!isObject(entry)) throw fail('an object with dtype, shape and data_offsets', entry)
  const { dtype, shape, data_offsets: offsets } = entry as Record<string, unknown>
  if (typeof dtype !== 'string') throw fail('a dtype', dtype)
  if (!isFileDType(dtype)) {
    const known = Object.keys(fileDTypeBytes).join(', ')
    throw new CheckpointError(path, `tensor "${name}" has the dtype "${dtype}"; this reader knows ${known}`)
  }
  if (!isCountList(shape)) throw fail('a shape of whole numbers', shape)
  if (!isCountList(offsets) || offsets.length !== 2) throw fail('two data_offsets', offsets)
  const [begin, end] = offsets as [number, number]
  let byteLength: number = fileDTypeBytes[dtype]
  for (const size of shape) {
    byteLength *= size
    if (!Number.isSafeInteger(byteLength)) throw fail('sizes whose product is below 2^53', shape)
  }
  if (end - begin !== byteLength) {
    throw fail(`${byteLength} bytes for ${dtype} of shape [${shape.join(', ')}]`, `${end - begin} bytes`)
  }
  return { name, dtype, shape, byteOffset: dataStart + begin, byteLength }
}

function checkLayout(path: string, tensors: readonly SafetensorsInfo[], dataStart: number, fileBytes: number): void {
  let position = dataStart
  for (const { name, dtype, shape, byteOffset, byteLength } of tensors) {
    if (byteOffset !== position) {
      const relation = byteOffset > position ? 'leaves a gap after' : 'overlaps'
      const message = `tensor "${name}" ${relation} the tensor before it: expected its bytes at ${position}, found ${byteOffset}; the file is damaged`
      throw new CheckpointError(path, message)
    }
    position += byteLength
    if (position > fileBytes) {
      const found = Math.max(0, fileBytes - byteOffset)
      const message = `the file is cut short: tensor "${name}" (${dtype} [${shape.join(', ')}]) expects ${byteLength} bytes, found ${found}; copy or download the file again`
      throw new CheckpointError(path, message)
    }
  }
  if (position !== fileBytes) {
    const message = `expected the file to end at byte ${position} with its last tensor, found ${fileBytes - position} more; the file is damaged`
    throw new CheckpointError(path, message)
  }
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isCountList(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0)
}

/** What the header says about a tensor that is to be written. */
export interface SafetensorsEntry {
  readonly name: string
  readonly dtype: FileDType
  readonly shape: readonly number[]
}

/** Size of a tensor's data in bytes. */
export function entryBytes({ dtype, shape }: SafetensorsEntry): number {
  return shape.reduce((product, size) => product * size, fileDTypeBytes[dtype])
}

/** The canonical order of tensors in a file: wide types first (see `fileDTypeBytes`), then names by their UTF-8 bytes. */
export function canonicalOrder<T extends SafetensorsEntry>(tensors: Iterable<T>): T[] {
  const ranks = Object.keys(fileDTypeBytes)
  return [...tensors].sort(
    (a, b) =>
      ranks.indexOf(a.dtype) - ranks.indexOf(b.dtype) || Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)),
  )
}

/**
 * The bytes before the data: length, compact JSON with `__metadata__` first (absent when empty), spaces up to a multiple
 * of 8.
 *
 * @param ordered tensors in the order of their data
 */
export function buildSafetensorsHeader(
  ordered: readonly SafetensorsEntry[],
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const fields: string[] = []
  if (Object.keys(metadata).length > 0) fields.push(`"__metadata__":${JSON.stringify(metadata)}`)
  const names = new Set<string>(['__metadata__'])
  let position = 0
  for (const entry of ordered) {
    if (names.has(entry.name)) {
      throw new ArgumentError('writeSafetensors', 'tensors', 'of distinct names other than __metadata__', entry.name)
    }
    names.add(entry.name)
    const { dtype, shape } = entry
    const end = position + entryBytes(entry)
    // Written out by hand: an object would move names that look like numbers to the front.
    fields.push(`${JSON.stringify(entry.name)}:${JSON.stringify({ dtype, shape, data_offsets: [position, end] })}`)
    position = end
  }
  const json = Buffer.from(`{${fields.join(',')}}`)
  const padded = Math.ceil(json.byteLength / 8) * 8
  const header = new Uint8Array(8 + padded).fill(0x20)
  new DataView(header.buffer).setBigUint64(0, BigInt(padded), true)
  header.set(json, 8)
  return header
}

import { ArgumentError, CheckpointError, DisposedError } from '../util/errors.ts'
import { didYouMean } from '../util/nearest.ts'
import { atomicWrite, type WritableFileSystem } from './atomicWrite.ts'
import { type ByteSource, openByteSource } from './byteSource.ts'
import {
  buildSafetensorsHeader,
  canonicalOrder,
  entryBytes,
  MAX_HEADER_BYTES,
  parseSafetensorsHeader,
  type SafetensorsEntry,
  type SafetensorsHeader,
  type SafetensorsInfo,
} from './safetensorsHeader.ts'
import { bytesToFloat32 } from './tensorBytes.ts'
import type { TensorFile, TensorInfo } from './tensorFile.ts'

export type { SafetensorsInfo } from './safetensorsHeader.ts'
export type { FileDType } from './tensorBytes.ts'

/** An open safetensors file. Only the header is in memory; each read fetches one tensor. */
export class SafetensorsFile implements TensorFile {
  readonly path: string
  /** The texts of `__metadata__`; empty when the file has none. */
  readonly metadata: ReadonlyMap<string, string>
  readonly #tensors: ReadonlyMap<string, SafetensorsInfo>
  #source: ByteSource | undefined

  /** Use {@link openSafetensors}. */
  constructor(path: string, header: SafetensorsHeader, source: ByteSource) {
    this.path = path
    this.metadata = header.metadata
    this.#tensors = header.tensors
    this.#source = source
  }

  /** Tensor names in the order of their bytes in the file. */
  get names(): readonly string[] {
    return [...this.#tensors.keys()]
  }

  has(name: string): boolean {
    return this.#tensors.has(name)
  }

  /** @throws CheckpointError naming the nearest tensor when there is none of that name */
  info(name: string): TensorInfo {
    const info = this.#find(name)
    const descriptor = this.#source?.descriptor
    return { ...info, place: descriptor === undefined ? undefined : { descriptor, byteOffset: info.byteOffset } }
  }

  #find(name: string): SafetensorsInfo {
    const info = this.#tensors.get(name)
    if (info === undefined) {
      const hint = didYouMean(name, this.#tensors.keys())
      throw new CheckpointError(
        this.path,
        `expected a tensor "${name}", found none among ${this.#tensors.size}.${hint}`,
      )
    }
    return info
  }

  /** The tensor's bytes: little-endian, row-major, in memory that the caller owns, aligned for any element type. */
  async read(name: string): Promise<Uint8Array> {
    const { byteOffset, byteLength } = this.#find(name)
    if (this.#source === undefined) {
      throw new DisposedError(`${this.path}: tensor "${name}" was read after close(); read it before`)
    }
    return this.#source.read(byteOffset, byteLength)
  }

  /** The tensor's values as float32, whatever the type in the file (booleans are 0 and 1). */
  async readFloat32(name: string): Promise<Float32Array> {
    return bytesToFloat32(await this.read(name), this.info(name).dtype)
  }

  /** Closes the file; a second call does nothing. Tensors already read stay valid. */
  async close(): Promise<void> {
    const source = this.#source
    this.#source = undefined
    await source?.close()
  }
}

export interface OpenSafetensorsOptions {
  /** How the file is opened, for instance as a memory map. Default: positional reads. */
  readonly openSource?: (path: string) => Promise<ByteSource>
}

/**
 * Opens a safetensors file: reads and checks its header, nothing else. The caller closes it.
 *
 * No memory is taken on the word of the file: the header's length is compared with the size of the file first, and every
 * tensor's byte count follows from its shape.
 *
 * @throws IoError when the file cannot be opened
 * @throws CheckpointError when it is damaged, cut short or not a safetensors file
 */
export async function openSafetensors(path: string, options: OpenSafetensorsOptions = {}): Promise<SafetensorsFile> {
  const { openSource = openByteSource } = options
  const source = await openSource(path)
  try {
    const length = await readHeaderLength(path, source)
    return new SafetensorsFile(path, parseSafetensorsHeader(path, await source.read(8, length), source.size), source)
  } catch (error) {
    await source.close()
    throw error
  }
}

async function readHeaderLength(path: string, source: ByteSource): Promise<number> {
  if (source.size < 10) {
    const message = `expected a safetensors file of at least 10 bytes, found ${source.size}; the file is cut short`
    throw new CheckpointError(path, message)
  }
  const start = await source.read(0, 9)
  const length = new DataView(start.buffer, start.byteOffset, 8).getBigUint64(0, true)
  // The data may be missing, but JSON text starts with a brace: a header without one is no header at all.
  if (length > BigInt(MAX_HEADER_BYTES) || start[8] !== 0x7b) {
    const message = `this is not a safetensors file: expected a JSON header, found ${length} as its length and byte ${start[8]} at its start`
    throw new CheckpointError(path, message)
  }
  if (8n + length > BigInt(source.size)) {
    const message = `the file is cut short: expected a header of ${length} bytes, found ${source.size - 8}; copy or download the file again`
    throw new CheckpointError(path, message)
  }
  return Number(length)
}

/** One tensor to be written. */
export interface SafetensorsTensor extends SafetensorsEntry {
  /** Little-endian, row-major bytes, or a function that fetches them when their turn comes. */
  readonly data: Uint8Array | (() => Promise<Uint8Array>)
}

export interface WriteSafetensorsOptions {
  /** Texts for `__metadata__`. Default: none. */
  readonly metadata?: Readonly<Record<string, string>>
  /** See {@link atomicWrite}. */
  readonly fileSystem?: WritableFileSystem
}

/**
 * Writes a safetensors file atomically. The order of tensors is the canonical one whatever the order given, so equal
 * tensors make equal bytes. At most one tensor given as a function is in memory at a time. The file is parsed again before
 * it takes the name.
 *
 * @returns the size of the file in bytes
 * @throws ArgumentError when names repeat or data has not the size that its shape and type demand
 * @throws IoError when the file cannot be written; a previous file of that name stays
 */
export async function writeSafetensors(
  path: string,
  tensors: Iterable<SafetensorsTensor>,
  options: WriteSafetensorsOptions = {},
): Promise<number> {
  const { metadata, fileSystem } = options
  const ordered = canonicalOrder(tensors)
  const header = buildSafetensorsHeader(ordered, metadata)
  const expectedBytes = ordered.reduce((sum, tensor) => sum + entryBytes(tensor), header.byteLength)
  async function* chunks(): AsyncGenerator<Uint8Array> {
    yield header
    yield* safetensorsData(ordered)
  }
  const verify = async (temporary: string): Promise<void> => {
    const file = await openSafetensors(temporary)
    await file.close()
    if (file.names.length === ordered.length) return
    throw new CheckpointError(temporary, `expected ${ordered.length} tensors, found ${file.names.length}`)
  }
  return atomicWrite(path, chunks(), { expectedBytes, verify, ...(fileSystem === undefined ? {} : { fileSystem }) })
}

/** The data part of a file: every tensor's bytes, in canonical order. */
export async function* safetensorsData(tensors: Iterable<SafetensorsTensor>): AsyncGenerator<Uint8Array> {
  for (const tensor of canonicalOrder(tensors)) {
    const data = typeof tensor.data === 'function' ? await tensor.data() : tensor.data
    const expected = entryBytes(tensor)
    if (data.byteLength !== expected) {
      const wanted = `${expected} bytes for ${tensor.dtype} of shape [${tensor.shape.join(', ')}]`
      throw new ArgumentError('writeSafetensors', `the data of "${tensor.name}"`, wanted, `${data.byteLength} bytes`)
    }
    yield data
  }
}

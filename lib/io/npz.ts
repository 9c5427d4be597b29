/** NumPy's archives of arrays, as caches of latents use them: a zip of stored `.npy` files. */
import { ArgumentError, CheckpointError, DisposedError } from '../util/errors.ts'
import { didYouMean } from '../util/nearest.ts'
import { atomicWrite, type WritableFileSystem } from './atomicWrite.ts'
import { type ByteSource, openByteSource } from './byteSource.ts'
import { fileContent } from './fileContent.ts'
import { gatherElements } from './gatherElements.ts'
import { buildNpyHeader, MAX_NPY_HEADER_BYTES, type NpyHeader, parseNpyHeader } from './npyHeader.ts'
import { readStoredZip, type StoredZipEntry } from './storedZip.ts'
import { checksumOf, planStoredZip, type StoredZipItem } from './storedZipWriter.ts'
import { bytesToFloat32, type FileDType, fileDTypeBytes } from './tensorBytes.ts'
import type { TensorFile, TensorInfo } from './tensorFile.ts'

/** An array in memory. */
export interface NpyArray {
  readonly dtype: FileDType
  /** Empty for a scalar. */
  readonly shape: readonly number[]
  /** Little-endian, row-major. */
  readonly bytes: Uint8Array
}

interface Located {
  readonly entry: StoredZipEntry
  readonly header: NpyHeader
}

/** An open `.npz` file. Names are those given to `np.savez`, without `.npy`. */
export class NpzFile implements TensorFile {
  readonly path: string
  /** NumPy's archives have no texts: empty. */
  readonly metadata: ReadonlyMap<string, string> = new Map()
  readonly #arrays: ReadonlyMap<string, Located>
  #source: ByteSource | undefined

  /** Use {@link openNpz}. */
  constructor(path: string, arrays: ReadonlyMap<string, Located>, source: ByteSource) {
    this.path = path
    this.#arrays = arrays
    this.#source = source
  }

  get names(): readonly string[] {
    return [...this.#arrays.keys()]
  }

  has(name: string): boolean {
    return this.#arrays.has(name)
  }

  /** @throws CheckpointError naming the nearest array when there is none of that name */
  info(name: string): TensorInfo {
    const { entry, header } = this.#find(name)
    const { dtype, shape, fortranOrder, byteLength } = header
    const descriptor = this.#source?.descriptor
    const reordered = fortranOrder && shape.length > 1
    return {
      name,
      dtype,
      shape,
      byteLength: entry.byteLength - byteLength,
      place:
        descriptor === undefined || reordered ? undefined : { descriptor, byteOffset: entry.byteOffset + byteLength },
    }
  }

  /**
   * The array's bytes: little-endian, row-major whatever the order in the file, in memory that the caller owns.
   *
   * @throws CheckpointError when the checksum of the archive is not that of the data
   */
  async read(name: string): Promise<Uint8Array> {
    const { entry, header } = this.#find(name)
    if (this.#source === undefined) {
      throw new DisposedError(`${this.path}: array "${name}" was read after close(); read it before`)
    }
    const { dtype, shape, fortranOrder, byteLength } = header
    const whole = await this.#source.read(entry.byteOffset, entry.byteLength)
    if ((await checksumOf(whole)) !== entry.crc32) {
      throw new CheckpointError(this.path, `array "${name}": the checksum is not that of the data; the file is damaged`)
    }
    const bytes = new Uint8Array(whole.subarray(byteLength))
    if (!fortranOrder || shape.length < 2 || bytes.byteLength === 0) return bytes
    const strides = shape.map((_, axis) => shape.slice(0, axis).reduce((product, size) => product * size, 1))
    return gatherElements(bytes, fileDTypeBytes[dtype], shape, strides)
  }

  /** The array's values as float32, whatever the type in the file (booleans are 0 and 1). */
  async readFloat32(name: string): Promise<Float32Array> {
    return bytesToFloat32(await this.read(name), this.info(name).dtype)
  }

  /** Closes the file; a second call does nothing. Arrays already read stay valid. */
  async close(): Promise<void> {
    const source = this.#source
    this.#source = undefined
    await source?.close()
  }

  #find(name: string): Located {
    const found = this.#arrays.get(name)
    if (found !== undefined) return found
    const hint = didYouMean(name, this.#arrays.keys())
    throw new CheckpointError(this.path, `expected an array "${name}", found none among ${this.#arrays.size}.${hint}`)
  }
}

export interface OpenNpzOptions {
  /** How the file is opened. Default: positional reads. */
  readonly openSource?: (path: string) => Promise<ByteSource>
}

/**
 * Opens a `.npz` file: reads and checks its directory and the headers of its arrays. The caller closes it.
 *
 * @throws IoError when the file cannot be opened
 * @throws CheckpointError when it is damaged, compressed (`np.savez_compressed`), or holds anything but arrays of numbers
 */
export async function openNpz(path: string, options: OpenNpzOptions = {}): Promise<NpzFile> {
  const { openSource = openByteSource } = options
  const source = await openSource(path)
  try {
    const { kind, found } = await fileContent(source)
    if (kind !== 'zip') throw new CheckpointError(path, `expected a NumPy .npz archive, found ${found}`)
    const compressedAdvice =
      'only stored arrays are read, which cannot unpack to more than the file: write it with np.savez'
    const entries = await readStoredZip(path, source, { compressedAdvice })
    const arrays = new Map<string, Located>()
    for (const [fileName, entry] of entries) {
      if (!fileName.endsWith('.npy')) {
        throw new CheckpointError(path, `expected only .npy arrays in the archive, found ${JSON.stringify(fileName)}`)
      }
      const name = fileName.slice(0, -'.npy'.length)
      const start = await source.read(entry.byteOffset, Math.min(entry.byteLength, MAX_NPY_HEADER_BYTES))
      arrays.set(name, { entry, header: parseNpyHeader(path, name, start, entry.byteLength) })
    }
    return new NpzFile(path, arrays, source)
  } catch (error) {
    await source.close()
    throw error
  }
}

/** Reads all arrays of a `.npz` file, for files as small as cached latents. Errors as in {@link openNpz}. */
export async function readNpz(path: string, options: OpenNpzOptions = {}): Promise<ReadonlyMap<string, NpyArray>> {
  const file = await openNpz(path, options)
  try {
    const arrays = new Map<string, NpyArray>()
    for (const name of file.names) {
      const { dtype, shape } = file.info(name)
      arrays.set(name, { dtype, shape, bytes: await file.read(name) })
    }
    return arrays
  } finally {
    await file.close()
  }
}

/** One array to be written. */
export interface NpzArray {
  readonly name: string
  readonly dtype: FileDType
  readonly shape: readonly number[]
  /** Little-endian, row-major bytes, or a function that fetches them when their turn comes. */
  readonly data: Uint8Array | (() => Promise<Uint8Array>)
}

export interface WriteNpzOptions {
  /** See `atomicWrite`. */
  readonly fileSystem?: WritableFileSystem
}

/**
 * Writes a `.npz` file atomically, as `np.savez` does: `np.load` reads it. At most one array given as a function is in memory
 * at a time.
 *
 * @returns the size of the file in bytes
 * @throws ArgumentError for bfloat16, repeated names, and data of another size than its shape and type demand
 * @throws IoError when the file cannot be written; a previous file of that name stays
 */
export async function writeNpz(
  path: string,
  arrays: Iterable<NpzArray>,
  options: WriteNpzOptions = {},
): Promise<number> {
  const { fileSystem } = options
  const items = [...arrays].map(({ name, dtype, shape, data }): StoredZipItem => {
    const header = buildNpyHeader(name, dtype, shape)
    const expected = shape.reduce((product, size) => product * size, fileDTypeBytes[dtype])
    return {
      name: `${name}.npy`,
      byteLength: header.byteLength + expected,
      data: async () => {
        const bytes = typeof data === 'function' ? await data() : data
        if (bytes.byteLength === expected) return Buffer.concat([header, bytes])
        const wanted = `${expected} bytes for ${dtype} of shape [${shape.join(', ')}]`
        throw new ArgumentError('writeNpz', `the data of "${name}"`, wanted, `${bytes.byteLength} bytes`)
      },
    }
  })
  const plan = planStoredZip(items)
  const settings = { expectedBytes: plan.byteLength, ...(fileSystem === undefined ? {} : { fileSystem }) }
  return atomicWrite(path, plan.chunks(), settings)
}

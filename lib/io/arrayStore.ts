/** Arrays in files that are named by a hash of all they were made from, so that an entry is never out of date. */
import { createHash } from 'node:crypto'
import { dirname, join } from 'node:path'
import { ArgumentError, CheckpointError, IoError } from '../util/errors.ts'
import type { WritableFileSystem } from './atomicWrite.ts'
import { makeFolder } from './makeFolder.ts'
import { type NpyArray, readNpz, writeNpz } from './npz.ts'
import { systemErrorCode } from './systemError.ts'

/** What an entry holds, by name. */
export type StoredArrays = ReadonlyMap<string, NpyArray>

export type StoreLookup =
  | { readonly found: 'arrays'; readonly arrays: StoredArrays }
  | { readonly found: 'nothing' }
  /** There is a file, but it is not what was written. */
  | { readonly found: 'damage'; readonly problem: string }

export interface ArrayStoreOptions {
  /** How entries are written. Default: `node:fs/promises`. */
  readonly fileSystem?: WritableFileSystem | undefined
}

/** Members of every entry beside its arrays: 32 bytes each. */
const KEY = 'key'
const DIGEST = 'digest'

/**
 * A folder of entries `<first two digits>/<key>.npz`. Each is written at once or not at all and checked when it is read: the
 * checksums of its arrays, a SHA-256 of them all, and the key it was written for. NumPy reads the files. Processes may share
 * the folder, also while they write: two that write one entry write the same.
 */
export class ArrayStore {
  readonly folder: string
  readonly #options: ArrayStoreOptions

  constructor(folder: string, options: ArrayStoreOptions = {}) {
    this.folder = folder
    this.#options = options
  }

  /** @param key SHA-256 as 64 hexadecimal digits */
  pathOf(key: string): string {
    if (!/^[0-9a-f]{64}$/.test(key)) throw new ArgumentError('ArrayStore', 'key', '64 hexadecimal digits', key)
    return join(this.folder, key.slice(0, 2), `${key}.npz`)
  }

  /** @throws IoError when there is a file that cannot be read */
  async read(key: string): Promise<StoreLookup> {
    const path = this.pathOf(key)
    try {
      const arrays = new Map(await readNpz(path))
      const problem = checkMarks(key, arrays)
      return problem === null ? { found: 'arrays', arrays } : { found: 'damage', problem: `${path}: ${problem}` }
    } catch (error) {
      if (error instanceof CheckpointError) return { found: 'damage', problem: error.message }
      if (error instanceof IoError && systemErrorCode(error.cause) === 'ENOENT') return { found: 'nothing' }
      throw error
    }
  }

  /** Writes an entry; one that is there is replaced. @throws IoError when it cannot be written */
  async write(key: string, arrays: StoredArrays): Promise<void> {
    const path = this.pathOf(key)
    await makeFolder(dirname(path))
    const marks = [
      [KEY, mark(Buffer.from(key, 'hex'))],
      [DIGEST, mark(digestOf(arrays))],
    ] as const
    const all = [...arrays, ...marks].map(([name, { dtype, shape, bytes }]) => ({ name, dtype, shape, data: bytes }))
    const { fileSystem } = this.#options
    await writeNpz(path, all, fileSystem === undefined ? {} : { fileSystem })
  }
}

function mark(bytes: Uint8Array): NpyArray {
  return { dtype: 'U8', shape: [bytes.byteLength], bytes }
}

/** Takes the marks out of the entry. @returns what is wrong with them, or null */
function checkMarks(key: string, arrays: Map<string, NpyArray>): string | null {
  const [own, digest] = [arrays.get(KEY), arrays.get(DIGEST)]
  arrays.delete(KEY)
  arrays.delete(DIGEST)
  if (own === undefined || digest === undefined) return 'it has no key and digest: it is no entry of this store'
  if (!Buffer.from(key, 'hex').equals(own.bytes)) return 'it was written under another name'
  return digestOf(arrays).equals(digest.bytes) ? null : 'its values are not those that were written'
}

function digestOf(arrays: StoredArrays): Buffer {
  const hash = createHash('sha256')
  for (const [name, { dtype, shape, bytes }] of [...arrays].sort(([a], [b]) => (a < b ? -1 : 1)))
    hash.update(`${JSON.stringify([name, dtype, shape])}\n`).update(bytes)
  return hash.digest()
}

import { stat } from 'node:fs/promises'
import { CheckpointError } from '../util/errors.ts'
import { openByteSource } from './byteSource.ts'
import { scanJson } from './jsonScan.ts'
import { toIoError } from './systemError.ts'

/** The members of a JSON object, in the order of the file. A map, because names such as `__proto__` are names like any other. */
export type JsonObject = ReadonlyMap<string, unknown>

/** Configuration files of models have a few kilobytes; the indices of sharded files some hundred. */
const DEFAULT_MAX_BYTES = 1 << 20
/** Far above any configuration or index; the depth is far below what the stack of a recursive reader or writer holds. */
const LIMITS = { depth: 32, values: 1_000_000 } as const

/**
 * Reads a small JSON file whose top level is an object.
 *
 * @param maxBytes a larger file is refused before it is read. Default: 1 MiB
 * @throws IoError when it cannot be read; CheckpointError when it is too large, no file, not UTF-8, not a JSON object
 *   or has a key twice
 */
export async function readJsonObject(path: string, maxBytes = DEFAULT_MAX_BYTES): Promise<JsonObject> {
  const bytes = await readSmallFile(path, maxBytes)
  let value: unknown
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    const problem = scanJson(text, LIMITS)
    if (problem !== undefined)
      throw new CheckpointError(
        path,
        `expected a JSON object, found ${problem}; the file is damaged or not what its name says`,
      )
    value = JSON.parse(text)
  } catch (error) {
    if (error instanceof CheckpointError) throw error
    throw new CheckpointError(path, `expected a JSON object (${(error as Error).message})`, { cause: error })
  }
  const members = jsonMembers(value)
  if (members === null) throw new CheckpointError(path, `expected a JSON object, found ${describeJson(value)}`)
  return members
}

/**
 * Reads a whole file that ought to be small. Symbolic links are followed.
 *
 * @throws IoError when it cannot be read; CheckpointError when it is larger than `maxBytes` or not a regular file
 */
export async function readSmallFile(path: string, maxBytes: number): Promise<Uint8Array> {
  // Asked before it is opened: opening a pipe would wait for somebody to write into it.
  const status = await stat(path).catch((error: unknown) => {
    throw toIoError(path, 'read', error)
  })
  if (!status.isFile()) throw new CheckpointError(path, 'expected a regular file; check the path')
  const source = await openByteSource(path)
  try {
    if (source.size > maxBytes)
      throw new CheckpointError(
        path,
        `expected a file of at most ${maxBytes} bytes, found ${source.size}; this is another file than its name says`,
      )
    return await source.read(0, source.size)
  } finally {
    await source.close()
  }
}

/** The members of a parsed JSON object; null for every other value. */
export function jsonMembers(value: unknown): JsonObject | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? new Map(Object.entries(value)) : null
}

/** A value for an error message: JSON cut to a readable length. */
export function describeJson(value: unknown): string {
  if (value === undefined) return 'nothing'
  const text = JSON.stringify(value)
  return text.length > 120 ? `${text.slice(0, 120)}...` : text
}

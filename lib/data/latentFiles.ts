/**
 * Latents beside pictures, in the layouts of other trainers:
 * `<name>.npz` and `<name>_flip.npz` with one array `arr_0`, and the later single file with `latents`, `latents_flipped`,
 * `original_size`, `crop_ltrb` and `alpha_mask`. Nothing in them tells which picture and which VAE they were made of.
 */
import { stat } from 'node:fs/promises'
import type { WritableFileSystem } from '../io/atomicWrite.ts'
import { type NpzFile, openNpz, writeNpz } from '../io/npz.ts'
import { systemErrorCode } from '../io/systemError.ts'
import { bytesOf } from '../io/tensorBytes.ts'
import { CheckpointError, DataError, IoError } from '../util/errors.ts'
import type { Size } from './buckets.ts'

/** The files that hold a picture's latents. */
export interface LatentFiles {
  readonly file: string
  /** Of the mirrored picture; absent where `file` may hold them itself, or where there are none. */
  readonly flippedFile?: string | undefined
}

/** A latent in memory: unscaled, finite, channels last. */
export interface Latent {
  /** [h, w, c] */
  readonly values: Float32Array
  readonly shape: readonly [h: number, w: number, c: number]
}

/** The loss weights of a picture's pixels, 0 to 1. */
export interface AlphaMask {
  /** [h, w], in pixels of the training size */
  readonly values: Float32Array
  readonly shape: readonly [h: number, w: number]
}

/** A latent must be of this size in each direction, and have this many channels. */
export interface LatentSize extends Size {
  readonly channels: number
}

/** The older file's array, and the newer file's by orientation. */
const PLAIN = 'arr_0'
const NAMES = { false: 'latents', true: 'latents_flipped' } as const

const advice = 'make it again with prepare-buckets-latents, or remove it'

/** The name of the older layout for a picture's path without its extension. */
export function latentFileName(base: string, flip: boolean): string {
  return `${base}${flip ? '_flip' : ''}.npz`
}

/**
 * Reads a latent of either layout; float16 becomes float32.
 *
 * @throws DataError when the file is missing, damaged, or holds no latent of that size and orientation, or one with values that
 *   are not finite
 */
export async function readLatentFile(files: LatentFiles, flip: boolean, expected: LatentSize): Promise<Latent> {
  const { width, height, channels } = expected
  return withNpz(pathOf(files, flip), async (file) => {
    const name = checkedName(file, files, flip, expected)
    const values = channelsLast(await file.readFloat32(name), channels)
    if (!values.every(Number.isFinite))
      throw new DataError(file.path, `"${name}" holds values that are not finite: ${advice}`)
    return { values, shape: [height, width, channels] }
  })
}

/** Looks at the header of a latent. Errors as for `readLatentFile`, but for its values. */
export async function checkLatentFile(files: LatentFiles, flip: boolean, expected: LatentSize): Promise<void> {
  await withNpz(pathOf(files, flip), async (file) => checkedName(file, files, flip, expected))
}

function pathOf({ file, flippedFile }: LatentFiles, flip: boolean): string {
  return flip && flippedFile !== undefined ? flippedFile : file
}

/** The name of the array that is a latent of this orientation, size and a floating-point type. */
function checkedName(file: NpzFile, files: LatentFiles, flip: boolean, expected: LatentSize): string {
  const name = arrayName(file, flip, file.path === files.flippedFile)
  const { shape, dtype } = file.info(name)
  const wanted = [expected.channels, expected.height, expected.width]
  const fail = (problem: string): DataError => new DataError(file.path, `"${name}" ${problem}: ${advice}`)
  if (shape.length !== 3 || wanted.some((size, axis) => size !== shape[axis]))
    throw fail(
      `has the shape [${shape.join(', ')}], expected [${wanted.join(', ')}], since it was made for another training size`,
    )
  if (!/^F(16|32|64)$/.test(dtype)) throw fail(`holds ${dtype} values, expected floating-point ones`)
  return name
}

/** The alpha mask of the newer layout; null where the file has none. Errors as for `readLatentFile`. */
export async function readAlphaMask(path: string): Promise<AlphaMask | null> {
  return withNpz(path, async (file) => {
    if (!file.has('alpha_mask')) return null
    const { shape } = file.info('alpha_mask')
    const [h, w] = shape
    if (h === undefined || w === undefined || shape.length !== 2)
      throw new DataError(path, `"alpha_mask" has the shape [${shape.join(', ')}], expected [height, width]`)
    return { values: await file.readFloat32('alpha_mask'), shape: [h, w] }
  })
}

/** Whether there is a latent of the mirrored picture, in a file of its own or in the newer layout. */
export async function hasFlippedLatent({ file, flippedFile }: LatentFiles): Promise<boolean> {
  if (flippedFile !== undefined) return true
  return withNpz(file, async (npz) => npz.has(NAMES.true))
}

/** Whether a file of the newer layout has the alpha mask of its picture. */
export async function hasAlphaMask(path: string): Promise<boolean> {
  return withNpz(path, async (npz) => npz.has('alpha_mask'))
}

/** Whether a file of the older layout is there and has this size; its values are not looked at. */
export async function hasLatentFile(path: string, { width, height }: Size): Promise<boolean> {
  const isThere = await stat(path).then(
    (status) => status.isFile(),
    () => false,
  )
  if (!isThere) return false
  try {
    return await withNpz(path, async (file) => {
      if (!file.has(PLAIN)) return false
      const { shape } = file.info(PLAIN)
      return shape.length === 3 && shape[1] === height && shape[2] === width
    })
  } catch (error) {
    // What cannot be read is to be made again.
    if (error instanceof DataError) return false
    throw error
  }
}

/** Writes the older layout: float32 [c, h, w]. @throws IoError when it cannot be written */
export async function writeLatentFile(
  path: string,
  { values, shape: [h, w, c] }: Latent,
  options: { readonly fileSystem?: WritableFileSystem } = {},
): Promise<void> {
  await writeNpz(
    path,
    [{ name: PLAIN, dtype: 'F32', shape: [c, h, w], data: bytesOf(channelsFirst(values, c)) }],
    options,
  )
}

/** [h, w, c] to [c, h, w] */
export function channelsFirst(values: Float32Array, channels: number): Float32Array {
  return transpose(values, values.length / channels, channels)
}

/** [c, h, w] to [h, w, c] */
export function channelsLast(values: Float32Array, channels: number): Float32Array {
  return transpose(values, channels, values.length / channels)
}

function transpose(values: Float32Array, rows: number, columns: number): Float32Array {
  const turned = new Float32Array(values.length)
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) turned[column * rows + row] = values[row * columns + column]!
  return turned
}

/** Which array of a file is the latent of an orientation. */
function arrayName(file: NpzFile, flip: boolean, isFlippedFile: boolean): string {
  const newer = NAMES[`${flip}`]
  if (file.has(newer)) return newer
  if (file.has(PLAIN) && (!flip || isFlippedFile)) return PLAIN
  const found = file.names.map((name) => `"${name}"`).join(', ')
  const wanted = flip ? `"${newer}", or a file ..._flip.npz beside it` : `"${PLAIN}" or "${newer}"`
  throw new DataError(file.path, `expected an array ${wanted}, found ${found || 'none'}`)
}

async function withNpz<T>(path: string, use: (file: NpzFile) => Promise<T>): Promise<T> {
  try {
    const file = await openNpz(path)
    try {
      return await use(file)
    } finally {
      await file.close()
    }
  } catch (error) {
    if (error instanceof CheckpointError || (error instanceof IoError && systemErrorCode(error.cause) === 'ENOENT')) {
      const reason = error.message.replace(`${path}: `, '')
      throw new DataError(path, `these latents cannot be used: ${reason}; ${advice}`, { cause: error })
    }
    throw error
  }
}

import { atomicWrite, type WritableFileSystem } from '../io/atomicWrite.ts'
import { ArgumentError } from '../util/errors.ts'

/** An 8-bit RGB picture. */
export interface RgbImage {
  readonly width: number
  readonly height: number
  /** `[height, width, 3]`, row-major. */
  readonly pixels: Uint8Array
}

/**
 * Encodes a picture as PNG, without loss.
 *
 * @throws ArgumentError when the number of pixels does not fit the size
 */
export async function encodePng({ width, height, pixels }: RgbImage): Promise<Uint8Array> {
  const expected = width * height * 3
  if (!(expected > 0) || pixels.byteLength !== expected) {
    const size = `${expected} bytes for ${width}x${height} pixels of red, green and blue`
    throw new ArgumentError('encodePng', 'pixels', size, `${pixels.byteLength} bytes`)
  }
  const { default: sharp } = await import('sharp')
  return sharp(pixels, { raw: { width, height, channels: 3 } })
    .png()
    .toBuffer()
}

/**
 * Writes a picture as a PNG file, atomically.
 *
 * @throws IoError when the file cannot be written
 */
export async function writePng(
  path: string,
  image: RgbImage,
  { fileSystem }: { readonly fileSystem?: WritableFileSystem | undefined } = {},
): Promise<void> {
  const bytes = await encodePng(image)
  await atomicWrite(path, bytes, {
    expectedBytes: bytes.byteLength,
    ...(fileSystem === undefined ? {} : { fileSystem }),
  })
}

/** What a preview picture's file is named after. */
export interface SampleName {
  /** Put in front when given. */
  readonly outputName?: string | undefined
  /** When the picture was made; shown in local time. */
  readonly time: Date
  /** The epoch (counted from 1) or the step after which it was made. */
  readonly at: { readonly epoch: number } | { readonly step: number }
  /** Position of the prompt in its file, from 0. */
  readonly index: number
  /** Shown when the prompt has a seed. */
  readonly seed?: number | undefined
}

/** `[<output name>_]<YYYYMMDDhhmmss>_<e000001 or 000300>_<00>[_<seed>].png`, to be put in `<output folder>/sample`. */
export function sampleFileName({ outputName, time, at, index, seed }: SampleName): string {
  const pad = (value: number, width: number): string => String(value).padStart(width, '0')
  const date = pad(time.getFullYear(), 4) + pad(time.getMonth() + 1, 2) + pad(time.getDate(), 2)
  const clock = pad(time.getHours(), 2) + pad(time.getMinutes(), 2) + pad(time.getSeconds(), 2)
  const number = 'epoch' in at ? `e${pad(at.epoch, 6)}` : pad(at.step, 6)
  const parts = [outputName, date + clock, number, pad(index, 2), seed]
  return `${parts.filter((part) => part !== undefined && part !== '').join('_')}.png`
}

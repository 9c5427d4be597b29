/** Decoding of picture files into 8-bit RGB. */
import { readFile } from 'node:fs/promises'
import { DataError } from '../util/errors.ts'
import { formatNames, notAnImage, sniffFormat } from './imageHeader.ts'

/** A decoded picture. */
export interface DecodedImage {
  readonly width: number
  readonly height: number
  /** RGB, rows top to bottom, [h, w, 3]. */
  readonly pixels: Uint8Array
}

/**
 * Decodes a PNG, JPEG, WebP or BMP file, told apart by content.
 *
 * Colour profiles and EXIF orientation are ignored; alpha is dropped, so hidden colours under transparency show; grey and
 * palette pictures become RGB. This is what Pillow's `convert('RGB')` does.
 *
 * @throws DataError naming the file when it cannot be read or decoded in full
 */
export async function decodeImage(path: string): Promise<DecodedImage> {
  let bytes: Buffer
  try {
    bytes = await readFile(path)
  } catch (error) {
    throw new DataError(path, `cannot be read: ${(error as Error).message}`, { cause: error })
  }
  const format = sniffFormat(bytes)
  if (format === undefined) throw notAnImage(path, bytes)
  try {
    return format === 'bmp' ? await decodeBmp(bytes) : await decodeWithSharp(bytes)
  } catch (error) {
    const reason = (error as Error).message.trim().split('\n')[0]
    const message = `the ${formatNames[format]} image is damaged or cut short (${reason}): replace or remove the file`
    throw new DataError(path, message, { cause: error })
  }
}

async function decodeWithSharp(bytes: Buffer): Promise<DecodedImage> {
  const { default: sharp } = await import('sharp')
  const { data, info } = await sharp(bytes, { ignoreIcc: true, failOn: 'error' })
    .removeAlpha()
    .toColourspace('srgb')
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true })
  return checked(info.width, info.height, data)
}

/** sharp reads no BMP. */
async function decodeBmp(bytes: Buffer): Promise<DecodedImage> {
  const { Transformer } = await import('@napi-rs/image')
  const image = new Transformer(bytes)
  const { width, height } = await image.metadata()
  return checked(width, height, await image.rawPixels())
}

function checked(width: number, height: number, data: Buffer): DecodedImage {
  if (data.length !== width * height * 3) {
    throw new Error(`expected ${width}x${height}x3 bytes from the decoder, received ${data.length}`)
  }
  return { width, height, pixels: new Uint8Array(data.buffer, data.byteOffset, data.length) }
}

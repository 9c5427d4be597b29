/** Decoding of picture files into 8-bit RGB. */
import { readFile } from 'node:fs/promises'
import type { Sharp, SharpOptions } from 'sharp'
import { DataError } from '../util/errors.ts'
import { inSlices } from '../util/pace.ts'
import type { Orientation, StoredHeader } from './headerReader.ts'
import { defaultMaxPixels, formatNames, type ImageHeader, type ImageOptions, parseImageHeader } from './imageHeader.ts'

/** A decoded picture. */
export interface DecodedImage {
  readonly width: number
  readonly height: number
  /** RGB, rows top to bottom, [h, w, 3]. */
  readonly pixels: Uint8Array
  /** Opacity, 0 to 255, [h, w]. Only when it was asked for and the picture has any. */
  readonly alpha?: Uint8Array
}

export interface DecodeOptions extends ImageOptions {
  /** Whether to return the opacity of a picture that has one. That of BMP files is not read. Default false. */
  readonly alpha?: boolean
}

/**
 * Decodes a PNG, JPEG, WebP, BMP or AVIF file, told apart by content, off the main thread.
 *
 * The picture is turned as its EXIF data say. Colour profiles are ignored; alpha is dropped from the colours, so those hidden
 * under transparency show; grey and palette pictures become RGB; of 16 bits the upper eight are kept; CMYK becomes RGB by
 * multiplying each ink's share with that of black; of an animation the first frame is taken. But for the orientation and 16-bit
 * grey (which Pillow clips) this is what Pillow's `convert('RGB')` does, to the bit for all but AVIF.
 *
 * @throws DataError naming the file when it cannot be read or decoded in full, or has more than `maxPixels`
 */
export async function decodeImage(path: string, options: DecodeOptions = {}): Promise<DecodedImage> {
  return decodeEncoded(await readEncoded(path, options), options)
}

/** A picture file in memory. */
export interface EncodedImage {
  readonly path: string
  readonly bytes: Buffer
  readonly header: ImageHeader
  readonly stored: StoredHeader
}

/** @throws DataError naming the file when it cannot be read, is no picture, or has more than `maxPixels` */
export async function readEncoded(path: string, options: ImageOptions = {}): Promise<EncodedImage> {
  let bytes: Buffer
  try {
    bytes = await readFile(path)
  } catch (error) {
    throw new DataError(path, `cannot be read: ${(error as Error).message}`, { cause: error })
  }
  const read = async (offset: number, length: number): Promise<Buffer> => bytes.subarray(offset, offset + length)
  return { path, bytes, ...(await parseImageHeader({ path, size: bytes.length, read }, options)) }
}

/** As `decodeImage` of a file that has been read. */
export async function decodeEncoded(
  { path, bytes, header, stored }: EncodedImage,
  options: DecodeOptions = {},
): Promise<DecodedImage> {
  let image: DecodedImage
  try {
    if (header.format === 'bmp') image = await decodeBmp(bytes)
    else {
      const turn: Orientation = stored.turnedByDecoder === true ? 1 : header.orientation
      image = await decodeWithSharp(bytes, turn, stored.cmyk === true, header, options)
    }
  } catch (error) {
    throw damaged(path, header, error as Error)
  }
  if (image.width !== header.width || image.height !== header.height) {
    const message = `the ${formatNames[header.format]} header gives ${header.width}x${header.height} but the picture has ${image.width}x${image.height}: save it again or remove it`
    throw new DataError(path, message)
  }
  return image
}

function damaged(path: string, { format }: ImageHeader, error: Error): DataError {
  const lines = error.message.trim().split('\n')
  const reason = lines.find((line) => !line.includes('bad seek')) ?? lines[0]
  const message = `the ${formatNames[format]} image is damaged or cut short (${reason}): replace or remove the file`
  return new DataError(path, message, { cause: error })
}

/** What libjpeg warns of when data are lost: the rest of the picture, or of a row of blocks, is not what it was. */
const lostData = /premature end of data segment|bad (Huffman|arithmetic) code|instead of RST/i

/** A JPEG of which data are lost is decoded to something else than the picture: that is damage. Other oddities are passed over. */
async function decodeWithSharp(
  bytes: Buffer,
  orientation: Orientation,
  cmyk: boolean,
  { format }: Pick<ImageHeader, 'format'>,
  options: DecodeOptions,
): Promise<DecodedImage> {
  if (format !== 'jpeg') return decodeUpTo('error', bytes, orientation, cmyk, options)
  try {
    return await decodeUpTo('warning', bytes, orientation, cmyk, options)
  } catch (error) {
    if (lostData.test((error as Error).message)) throw error
    return decodeUpTo('error', bytes, orientation, cmyk, options)
  }
}

async function decodeUpTo(
  failOn: 'error' | 'warning',
  bytes: Buffer,
  orientation: Orientation,
  cmyk: boolean,
  { alpha = false, maxPixels = defaultMaxPixels }: DecodeOptions,
): Promise<DecodedImage> {
  const { default: sharp } = await import('sharp')
  const settings: SharpOptions = { ignoreIcc: true, failOn, limitInputPixels: maxPixels }
  const open = (): Sharp => turns[orientation](sharp(bytes, settings))
  const raw = { depth: 'uchar' } as const
  const colours = cmyk
    ? open().pipelineColourspace('cmyk').toColourspace('cmyk')
    : open().removeAlpha().toColourspace('srgb')
  const { data, info } = await colours.raw(raw).toBuffer({ resolveWithObject: true })
  const pixels = cmyk ? await cmykToRgb(data) : data
  const image = checked(info.width, info.height, pixels)
  if (!alpha || !(await sharp(bytes, settings).metadata()).hasAlpha) return image
  const opacity = await open().extractChannel('alpha').raw(raw).toBuffer()
  if (opacity.length !== info.width * info.height) throw new Error(`received ${opacity.length} bytes of opacity`)
  return { ...image, alpha: new Uint8Array(opacity.buffer, opacity.byteOffset, opacity.length) }
}

/** sharp mirrors before it rotates. */
const turns: Readonly<Record<Orientation, (image: Sharp) => Sharp>> = {
  1: (image) => image,
  2: (image) => image.flop(),
  3: (image) => image.rotate(180),
  4: (image) => image.flip(),
  5: (image) => image.flop().rotate(270),
  6: (image) => image.rotate(90),
  7: (image) => image.flop().rotate(90),
  8: (image) => image.rotate(270),
}

/** Pixels converted between two looks at the clock. */
const pixelsAtATime = 1 << 13

/** An ink and black both take away light: r = (255 - c)(255 - k) / 255, with the rounding of Pillow's 8-bit arithmetic. */
async function cmykToRgb(cmyk: Uint8Array): Promise<Uint8Array> {
  const count = cmyk.length / 4
  const rgb = new Uint8Array(count * 3)
  await inSlices(Math.ceil(count / pixelsAtATime), (piece) => {
    const end = Math.min(count, (piece + 1) * pixelsAtATime)
    for (let i = piece * pixelsAtATime; i < end; i++) {
      const white = 255 - cmyk[i * 4 + 3]!
      for (let c = 0; c < 3; c++) rgb[i * 3 + c] = white - Math.round((cmyk[i * 4 + c]! * white) / 255)
    }
  })
  return rgb
}

/** sharp reads no BMP. */
async function decodeBmp(bytes: Buffer): Promise<DecodedImage> {
  const { Transformer } = await import('@napi-rs/image')
  const image = new Transformer(bytes)
  const { width, height } = await image.metadata()
  return checked(width, height, await image.rawPixels())
}

function checked(width: number, height: number, data: Uint8Array): DecodedImage {
  if (data.length !== width * height * 3) {
    throw new Error(`expected ${width}x${height}x3 bytes from the decoder, received ${data.length}`)
  }
  return { width, height, pixels: new Uint8Array(data.buffer, data.byteOffset, data.length) }
}

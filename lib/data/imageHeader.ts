/**
 * Sizes of PNG, JPEG, WebP, BMP and AVIF files from their headers, without decoding. The format is told by content, not by the
 * file's extension.
 */
import { type FileHandle, open } from 'node:fs/promises'
import { ArgumentError, DataError } from '../util/errors.ts'
import { isAvif, readAvif } from './avifHeader.ts'
import type { Size } from './buckets.ts'
import { readBmp, readJpeg, readPng, readWebp } from './headerParsers.ts'
import { HeaderReader, type HeaderSource, type Orientation, type StoredHeader, swapsSides } from './headerReader.ts'

export type ImageFormat = 'png' | 'jpeg' | 'webp' | 'bmp' | 'avif'

export interface ImageHeader extends Size {
  readonly format: ImageFormat
  /**
   * How the stored pixels are turned to give a picture of this width and height, as EXIF numbers it; 1: not at all. With
   * `ignoreExif`, always 1 but for AVIF.
   */
  readonly orientation: Orientation
  /** False when the end of the file does not look right, so that it may be cut short; only decoding can tell. */
  readonly looksComplete: boolean
}

/** What both reading headers and decoding take. */
export interface ImageOptions {
  /** Whether the orientation in EXIF data is passed over. The turns and mirrorings of AVIF are no EXIF. Default false. */
  readonly ignoreExif?: boolean
  /** A picture with more pixels is refused before it is decoded. Default 2^26, that is 8192x8192. */
  readonly maxPixels?: number
}

export const defaultMaxPixels = 2 ** 26

/** Names of the formats for messages. */
export const formatNames: Readonly<Record<ImageFormat, string>> = {
  png: 'PNG',
  jpeg: 'JPEG',
  webp: 'WebP',
  bmp: 'BMP',
  avif: 'AVIF',
}

/** Bytes that tell the format. */
export const sniffedBytes = 64

/** The format that the first 64 bytes of a file announce. */
export function sniffFormat(bytes: Uint8Array): ImageFormat | undefined {
  const start = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(sniffedBytes, bytes.length))
  const text = start.toString('latin1')
  if (text.startsWith('\x89PNG\r\n\x1a\n')) return 'png'
  if (text.startsWith('\xff\xd8\xff')) return 'jpeg'
  if (text.startsWith('RIFF') && text.slice(8, 12) === 'WEBP') return 'webp'
  if (text.startsWith('BM')) return 'bmp'
  if (isAvif(start)) return 'avif'
  return undefined
}

/** The error for a file that is none of the accepted formats, whatever its name says. */
export function notAnImage(path: string, bytes: Uint8Array): DataError {
  if (bytes.length === 0) return new DataError(path, 'the file is empty (0 bytes): replace or remove it')
  const start = Buffer.from(bytes.subarray(0, 12))
  const shown = /^[\x20-\x7e\s]+$/.test(start.toString('latin1'))
    ? `the text ${JSON.stringify(start.toString('latin1'))}`
    : `the bytes ${start.toString('hex')}`
  return new DataError(
    path,
    `not a PNG, JPEG, WebP, BMP or AVIF image: it begins with ${shown}. Convert, replace or remove it`,
  )
}

/**
 * Width, height, orientation and format of an image file. Only its header is read, in small pieces.
 *
 * @throws DataError when the file cannot be read, is empty, has no readable image header, or holds more than `maxPixels`
 */
export async function readImageHeader(path: string, options: ImageOptions = {}): Promise<ImageHeader> {
  let file: FileHandle | undefined
  try {
    file = await open(path, 'r')
    const opened = file
    const { size } = await opened.stat()
    const read = async (offset: number, length: number): Promise<Buffer> => {
      const { buffer, bytesRead } = await opened.read(Buffer.allocUnsafe(length), 0, length, offset)
      return buffer.subarray(0, bytesRead)
    }
    return (await parseImageHeader({ path, size, read }, options)).header
  } catch (error) {
    if (error instanceof DataError || error instanceof ArgumentError) throw error
    throw new DataError(path, `cannot be read: ${(error as Error).message}`, { cause: error })
  } finally {
    await file?.close()
  }
}

/** Width and height of an image file, header only. @throws DataError as `readImageHeader` */
export async function readImageSize(path: string, options: ImageOptions = {}): Promise<Size> {
  const { width, height } = await readImageHeader(path, options)
  return { width, height }
}

const parsers: Readonly<Record<ImageFormat, (reader: HeaderReader) => Promise<StoredHeader>>> = {
  png: readPng,
  jpeg: readJpeg,
  webp: readWebp,
  bmp: readBmp,
  avif: readAvif,
}

/** The header of a picture wherever its bytes are, as it is stored and as it is shown. @throws DataError as `readImageHeader` */
export async function parseImageHeader(
  source: HeaderSource,
  { ignoreExif = false, maxPixels = defaultMaxPixels }: ImageOptions,
): Promise<{ readonly header: ImageHeader; readonly stored: StoredHeader }> {
  if (!Number.isSafeInteger(maxPixels) || maxPixels < 1)
    throw new ArgumentError('readImageHeader', 'maxPixels', 'a whole number of at least 1', String(maxPixels))
  const reader = new HeaderReader(source)
  const start = await reader.read(0, Math.min(source.size, sniffedBytes))
  const format = sniffFormat(start)
  if (format === undefined) throw notAnImage(source.path, start)
  const stored = await parsers[format](reader)
  const orientation = ignoreExif && stored.turnedByDecoder !== true ? 1 : stored.orientation
  const isTurned = swapsSides(orientation)
  const width = isTurned ? stored.height : stored.width
  const height = isTurned ? stored.width : stored.height
  const header = { format, width, height, orientation, looksComplete: stored.looksComplete }
  checkSize(source.path, header, maxPixels)
  return { header, stored }
}

/** @throws DataError when a header gives no size, or more than `maxPixels` */
function checkSize(
  path: string,
  { format, width, height }: Omit<ImageHeader, 'looksComplete'>,
  maxPixels: number,
): void {
  const found = `the ${formatNames[format]} header gives the size ${width}x${height}`
  if (!(width >= 1 && height >= 1)) throw new DataError(path, `${found}: replace the file`)
  if (width * height > maxPixels)
    throw new DataError(path, `${found}, more than ${maxPixels} pixels: shrink or remove the picture`)
}

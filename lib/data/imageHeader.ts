/**
 * Sizes of PNG, JPEG, WebP and BMP files from their headers, without decoding. The format is told by content, not by the
 * file's extension. EXIF orientation is not looked at, here or when decoding.
 */
import { type FileHandle, open } from 'node:fs/promises'
import { DataError } from '../util/errors.ts'
import type { Size } from './buckets.ts'

export type ImageFormat = 'png' | 'jpeg' | 'webp' | 'bmp'

export interface ImageHeader extends Size {
  readonly format: ImageFormat
  /** False when the end of the file does not look right, so that it may be cut short; only decoding can tell. */
  readonly looksComplete: boolean
}

/** Names of the formats for messages. */
export const formatNames: Readonly<Record<ImageFormat, string>> = { png: 'PNG', jpeg: 'JPEG', webp: 'WebP', bmp: 'BMP' }

/** The format that the first 12 bytes of a file announce. */
export function sniffFormat(bytes: Uint8Array): ImageFormat | undefined {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(12, bytes.length)).toString('latin1')
  if (text.startsWith('\x89PNG\r\n\x1a\n')) return 'png'
  if (text.startsWith('\xff\xd8\xff')) return 'jpeg'
  if (text.startsWith('RIFF') && text.slice(8, 12) === 'WEBP') return 'webp'
  if (text.startsWith('BM')) return 'bmp'
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
    `not a PNG, JPEG, WebP or BMP image: it begins with ${shown}. Convert, replace or remove it`,
  )
}

/**
 * Width, height and format of an image file.
 *
 * @throws DataError when the file cannot be read, is empty, or has no readable image header
 */
export async function readImageHeader(path: string): Promise<ImageHeader> {
  let file: FileHandle | undefined
  try {
    file = await open(path, 'r')
    const { size } = await file.stat()
    const reader = new Reader(path, file, size)
    const start = await reader.read(0, Math.min(size, 64))
    const format = sniffFormat(start)
    if (format === undefined) throw notAnImage(path, start)
    const header = await parsers[format](reader)
    if (header.width < 1 || header.height < 1) {
      throw new DataError(
        path,
        `the ${formatNames[format]} header gives the size ${header.width}x${header.height}: replace the file`,
      )
    }
    return { format, ...header }
  } catch (error) {
    if (error instanceof DataError) throw error
    throw new DataError(path, `cannot be read: ${(error as Error).message}`, { cause: error })
  } finally {
    await file?.close()
  }
}

/** Width and height of an image file, header only. @throws DataError as `readImageHeader` */
export async function readImageSize(path: string): Promise<Size> {
  const { width, height } = await readImageHeader(path)
  return { width, height }
}

/** Reads parts of a file; asking for bytes beyond its end is the sign of a file cut short. */
class Reader {
  constructor(
    readonly path: string,
    readonly file: FileHandle,
    readonly size: number,
  ) {}

  async read(offset: number, length: number): Promise<Buffer> {
    const bytes = Buffer.alloc(length)
    const { bytesRead } = await this.file.read(bytes, 0, length, offset)
    if (bytesRead < length) {
      throw new DataError(
        this.path,
        `the image header is cut short (the file has ${this.size} bytes): replace or remove it`,
      )
    }
    return bytes
  }
}

type Header = Omit<ImageHeader, 'format'>
const parsers: Readonly<Record<ImageFormat, (reader: Reader) => Promise<Header>>> = {
  png: readPng,
  jpeg: readJpeg,
  webp: readWebp,
  bmp: readBmp,
}

async function readPng(reader: Reader): Promise<Header> {
  const start = await reader.read(0, 33)
  const end = await reader.read(reader.size - 12, 12)
  return {
    width: start.readUInt32BE(16),
    height: start.readUInt32BE(20),
    looksComplete: end.toString('latin1', 4, 8) === 'IEND',
  }
}

/** Walks the segments up to the first frame header (SOF0 to SOF15, without the tables DHT, JPG and DAC). */
async function readJpeg(reader: Reader): Promise<Header> {
  const end = await reader.read(reader.size - 2, 2)
  let offset = 2
  for (;;) {
    const segment = await reader.read(offset, 4)
    const marker = segment[1]!
    if (segment[0] !== 0xff) {
      throw new DataError(reader.path, `the JPEG header is damaged at byte ${offset}: replace or remove the file`)
    }
    const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)
    if (isFrame) {
      const frame = await reader.read(offset + 5, 4)
      return {
        width: frame.readUInt16BE(2),
        height: frame.readUInt16BE(0),
        looksComplete: end.readUInt16BE() === 0xffd9,
      }
    }
    // 0xff may be repeated as padding; markers 01 and d0 to d9 stand alone.
    if (marker === 0xff) offset += 1
    else if (marker === 0x01 || (marker >= 0xd0 && marker <= 0xd9)) offset += 2
    else offset += 2 + segment.readUInt16BE(2)
  }
}

async function readWebp(reader: Reader): Promise<Header> {
  const start = await reader.read(0, 30)
  const looksComplete = start.readUInt32LE(4) + 8 <= reader.size
  const kind = start.toString('latin1', 12, 16)
  if (kind === 'VP8X') return { width: start.readUIntLE(24, 3) + 1, height: start.readUIntLE(27, 3) + 1, looksComplete }
  if (kind === 'VP8 ')
    return { width: start.readUInt16LE(26) & 0x3fff, height: start.readUInt16LE(28) & 0x3fff, looksComplete }
  if (kind !== 'VP8L') throw new DataError(reader.path, 'the WebP header is damaged: replace or remove the file')
  const bits = start.readUInt32LE(21)
  return { width: (bits & 0x3fff) + 1, height: ((bits >>> 14) & 0x3fff) + 1, looksComplete }
}

async function readBmp(reader: Reader): Promise<Header> {
  const start = await reader.read(0, 26)
  const isCore = start.readUInt32LE(14) === 12
  const width = isCore ? start.readUInt16LE(18) : start.readInt32LE(18)
  const height = isCore ? start.readUInt16LE(20) : Math.abs(start.readInt32LE(22))
  const { bitsPerPixel, compression } = isCore
    ? { bitsPerPixel: start.readUInt16LE(24), compression: 0 }
    : await reader
        .read(28, 6)
        .then((rest) => ({ bitsPerPixel: rest.readUInt16LE(0), compression: rest.readUInt32LE(2) }))
  const isRunLength = compression === 1 || compression === 2
  const rowBytes = Math.ceil((width * bitsPerPixel) / 32) * 4
  const needed = isRunLength ? start.readUInt32LE(2) : start.readUInt32LE(10) + rowBytes * height
  return { width, height, looksComplete: needed <= reader.size }
}

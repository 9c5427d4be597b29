/** Headers of PNG, JPEG, WebP and BMP files. */
import { exifBytes, exifOrientation } from './exifOrientation.ts'
import type { HeaderReader, Orientation, StoredHeader } from './headerReader.ts'

async function readExif(reader: HeaderReader, offset: number, length: number): Promise<Orientation> {
  const available = Math.min(length, exifBytes, Math.max(0, reader.size - offset))
  return exifOrientation(await reader.read(offset, available))
}

/** Chunks up to the first of the picture data; an eXIf chunk behind it is not looked for. */
export async function readPng(reader: HeaderReader): Promise<StoredHeader> {
  const start = await reader.read(0, 33)
  if (start.toString('latin1', 12, 16) !== 'IHDR') throw reader.damaged('a PNG begins with the chunk IHDR')
  const width = start.readUInt32BE(16)
  const height = start.readUInt32BE(20)
  let orientation: Orientation = 1
  for (let offset = 33; offset + 8 <= reader.size; ) {
    reader.countPart()
    const chunk = await reader.read(offset, 8)
    const length = chunk.readUInt32BE(0)
    const kind = chunk.toString('latin1', 4, 8)
    if (kind === 'IDAT' || kind === 'IEND') break
    if (kind === 'eXIf') orientation = await readExif(reader, offset + 8, length)
    offset += 12 + length
  }
  const end = await reader.read(reader.size - 12, 12)
  return { width, height, orientation, looksComplete: end.toString('latin1', 4, 8) === 'IEND' }
}

/** Segments up to the first scan. The size stands in a frame header: SOF0 to SOF15, without the tables DHT, JPG and DAC. */
export async function readJpeg(reader: HeaderReader): Promise<StoredHeader> {
  let frame: { width: number; height: number; cmyk: boolean } | undefined
  let orientation: Orientation | undefined
  for (let offset = 2; ; ) {
    reader.countPart()
    const segment = await reader.read(offset, 4)
    const marker = segment[1]!
    if (segment[0] !== 0xff) throw reader.damaged(`no JPEG segment at byte ${offset}`)
    // 0xff may be repeated as padding; markers 01 and d0 to d8 stand alone.
    if (marker === 0xff) {
      offset += 1
      continue
    }
    if (marker === 0x01 || (marker >= 0xd0 && marker <= 0xd8)) {
      offset += 2
      continue
    }
    if (marker === 0xda || marker === 0xd9) break
    const length = segment.readUInt16BE(2)
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker) && frame === undefined) {
      const bytes = await reader.read(offset + 5, 5)
      frame = { height: bytes.readUInt16BE(0), width: bytes.readUInt16BE(2), cmyk: bytes[4] === 4 }
    }
    if (marker === 0xe1 && length >= 8 && orientation === undefined) {
      const name = (await reader.read(offset + 4, 6)).toString('latin1')
      if (name === 'Exif\0\0') orientation = await readExif(reader, offset + 4, length - 2)
    }
    offset += 2 + length
  }
  if (frame === undefined) throw reader.damaged('the JPEG has no frame header before its picture data')
  const end = await reader.read(reader.size - 2, 2)
  return { ...frame, orientation: orientation ?? 1, looksComplete: end.readUInt16BE() === 0xffd9 }
}

export async function readWebp(reader: HeaderReader): Promise<StoredHeader> {
  const start = await reader.read(0, 30)
  const total = start.readUInt32LE(4) + 8
  const looksComplete = total <= reader.size
  const kind = start.toString('latin1', 12, 16)
  if (kind === 'VP8X') {
    const hasExif = (start[20]! & 0x08) !== 0
    return {
      width: start.readUIntLE(24, 3) + 1,
      height: start.readUIntLE(27, 3) + 1,
      orientation: hasExif ? await webpOrientation(reader, Math.min(total, reader.size)) : 1,
      looksComplete,
    }
  }
  if (kind === 'VP8 ') {
    const [width, height] = [start.readUInt16LE(26) & 0x3fff, start.readUInt16LE(28) & 0x3fff]
    return { width, height, orientation: 1, looksComplete }
  }
  if (kind !== 'VP8L') throw reader.damaged('a WebP begins with the chunk VP8, VP8L or VP8X')
  const bits = start.readUInt32LE(21)
  return { width: (bits & 0x3fff) + 1, height: ((bits >>> 14) & 0x3fff) + 1, orientation: 1, looksComplete }
}

/** The EXIF chunk usually stands behind the picture data. */
async function webpOrientation(reader: HeaderReader, end: number): Promise<Orientation> {
  for (let offset = 12; offset + 8 <= end; ) {
    reader.countPart()
    const chunk = await reader.read(offset, 8)
    const length = chunk.readUInt32LE(4)
    if (chunk.toString('latin1', 0, 4) === 'EXIF') return readExif(reader, offset + 8, length)
    offset += 8 + length + (length % 2)
  }
  return 1
}

export async function readBmp(reader: HeaderReader): Promise<StoredHeader> {
  const start = await reader.read(0, 26)
  const isCore = start.readUInt32LE(14) === 12
  const width = isCore ? start.readUInt16LE(18) : start.readInt32LE(18)
  const height = isCore ? start.readUInt16LE(20) : Math.abs(start.readInt32LE(22))
  const details = isCore ? undefined : await reader.read(28, 6)
  const bitsPerPixel = details?.readUInt16LE(0) ?? start.readUInt16LE(24)
  const compression = details?.readUInt32LE(2) ?? 0
  const isRunLength = compression === 1 || compression === 2
  const rowBytes = Math.ceil((width * bitsPerPixel) / 32) * 4
  const fields = await reader.read(2, 12)
  const needed = isRunLength ? fields.readUInt32LE(0) : fields.readUInt32LE(8) + rowBytes * height
  return { width, height, orientation: 1, looksComplete: needed <= reader.size }
}

import type { Orientation } from './headerReader.ts'

/** Only this much of an EXIF block is looked at: the first directory stands at its beginning. */
export const exifBytes = 1 << 16
const orientationTag = 0x0112
/** Entries of a directory that are looked at; cameras write a few dozen. */
const mostEntries = 512

/**
 * The orientation that an EXIF block gives: the tag 0x0112 of its first directory. 1 when there is none, or the block cannot be
 * read, or the value is not one of the eight: a damaged note about a picture is no reason to refuse the picture.
 *
 * @param block a TIFF structure, with or without `Exif\0\0` before it (EXIF 2.32, section 4.5)
 */
export function exifOrientation(block: Buffer): Orientation {
  const tiff = block.toString('latin1', 0, 6) === 'Exif\0\0' ? block.subarray(6) : block
  if (tiff.length < 8) return 1
  const order = tiff.toString('latin1', 0, 2)
  if (order !== 'II' && order !== 'MM') return 1
  const read16 = (at: number): number => (order === 'II' ? tiff.readUInt16LE(at) : tiff.readUInt16BE(at))
  const read32 = (at: number): number => (order === 'II' ? tiff.readUInt32LE(at) : tiff.readUInt32BE(at))
  if (read16(2) !== 42) return 1
  const directory = read32(4)
  if (directory + 2 > tiff.length) return 1
  const count = Math.min(read16(directory), mostEntries)
  for (let i = 0; i < count; i++) {
    const entry = directory + 2 + i * 12
    if (entry + 12 > tiff.length) return 1
    if (read16(entry) !== orientationTag) continue
    const type = read16(entry + 2)
    const isLong = type === 4
    if ((type !== 3 && !isLong) || read32(entry + 4) !== 1) return 1
    const value = isLong ? read32(entry + 8) : read16(entry + 8)
    return isOrientation(value) ? value : 1
  }
  return 1
}

function isOrientation(value: number): value is Orientation {
  return Number.isInteger(value) && value >= 1 && value <= 8
}

import { ArgumentError } from '../util/errors.ts'
import type { RgbImage } from './png.ts'

export interface ContactSheetOptions {
  /** Every pixel is drawn as so many by so many. Default 1. */
  readonly scale?: number
  /** White pixels between pictures. Default 0. */
  readonly gap?: number
}

/**
 * Pictures of one size beside each other, row by row, on white.
 * @param rows null: an empty place
 * @throws ArgumentError when there is no picture, or pictures of two sizes
 */
export function contactSheet(
  rows: readonly (readonly (RgbImage | null)[])[],
  { scale = 1, gap = 0 }: ContactSheetOptions = {},
): RgbImage {
  const first = rows.flat().find((picture) => picture !== null)
  if (first === undefined) throw new ArgumentError('contactSheet', 'rows', 'at least one picture', 'none')
  const [cellWidth, cellHeight] = [first.width * scale, first.height * scale]
  const columns = Math.max(...rows.map((row) => row.length))
  const width = columns * cellWidth + (columns - 1) * gap
  const height = rows.length * cellHeight + (rows.length - 1) * gap
  const pixels = new Uint8Array(width * height * 3).fill(255)
  rows.forEach((row, y) => {
    row.forEach((picture, x) => {
      if (picture === null) return
      if (picture.width !== first.width || picture.height !== first.height)
        throw new ArgumentError(
          'contactSheet',
          'rows',
          `pictures of ${first.width}x${first.height}`,
          `${picture.width}x${picture.height}`,
        )
      paste(picture, { left: x * (cellWidth + gap), top: y * (cellHeight + gap), scale })
    })
  })
  return { width, height, pixels }

  function paste(picture: RgbImage, { left, top, scale }: Readonly<Record<'left' | 'top' | 'scale', number>>): void {
    for (let y = 0; y < cellHeight; y++)
      for (let x = 0; x < cellWidth; x++) {
        const from = (Math.floor(y / scale) * picture.width + Math.floor(x / scale)) * 3
        pixels.set(picture.pixels.subarray(from, from + 3), ((top + y) * width + left + x) * 3)
      }
  }
}

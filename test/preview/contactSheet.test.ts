import { describe, expect, it } from 'vitest'
import { contactSheet } from '../../lib/preview/contactSheet.ts'
import type { RgbImage } from '../../lib/preview/png.ts'
import { ArgumentError } from '../../lib/util/errors.ts'

const picture = (...reds: number[]): RgbImage => ({
  width: 2,
  height: 1,
  pixels: Uint8Array.from(reds.flatMap((red) => [red, 0, 0])),
})

describe('contactSheet', () => {
  it('lays pictures row by row, enlarged, with white between them and where there is none', () => {
    const { width, height, pixels } = contactSheet(
      [
        [picture(1, 2), null],
        [picture(3, 4), picture(5, 6)],
      ],
      { scale: 2, gap: 1 },
    )
    expect([width, height]).toEqual([9, 5])
    const reds = Array.from({ length: height }, (_, y) =>
      Array.from({ length: width }, (_, x) => pixels[(y * width + x) * 3]),
    )
    const [w, first, second] = [255, [1, 1, 2, 2, 255, 255, 255, 255, 255], [3, 3, 4, 4, 255, 5, 5, 6, 6]]
    expect(reds).toEqual([first, first, new Array(9).fill(w), second, second])
  })

  it('takes rows of different lengths', () => {
    expect(contactSheet([[picture(1, 2)], [picture(1, 2), picture(3, 4)]]).width).toBe(4)
  })

  it('refuses pictures of two sizes, and none', () => {
    const other = { width: 1, height: 1, pixels: new Uint8Array(3) }
    expect(() => contactSheet([[picture(1, 2), other]])).toThrow(ArgumentError)
    expect(() => contactSheet([[null]])).toThrow(ArgumentError)
  })
})

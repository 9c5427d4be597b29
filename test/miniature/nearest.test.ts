import { describe, expect, it } from 'vitest'
import { captionsOf, colourOf } from '../../scripts/miniature/captions.ts'
import { rankOf, smallPictures } from '../../scripts/miniature/nearest.ts'

const size = 32
/** Pictures of one grey each. */
const greys = [0, 100, 110, 250]
const pixels = Uint8Array.from(greys.flatMap((grey) => new Array(size * size * 3).fill(grey)))
const small = smallPictures({ size, count: greys.length, pixels })

describe('rankOf', () => {
  it('counts the pictures that are at least as near', () => {
    const drawn = { width: size, height: size, pixels: new Uint8Array(size * size * 3).fill(104) }
    expect(greys.map((_, index) => rankOf(drawn, index, small))).toEqual([3, 1, 2, 4])
  })

  it('compares means of blocks', () => {
    const chequered = Uint8Array.from({ length: size * size * 3 }, (_, i) =>
      (Math.floor(i / 3) % size) % 2 === 0 ? 200 : 20,
    )
    expect(rankOf({ width: size, height: size, pixels: chequered }, 2, small)).toBe(1)
  })
})

describe('captionsOf', () => {
  const apple = { name: 'red apple', group: 'Food & Drink', file: '' }

  it('says the name in several ways, and a colour that the name does not tell', () => {
    const plain = ['red apple', 'a red apple', 'a 3d emoji of a red apple', 'red apple, food and drink']
    expect(captionsOf(apple, 'red')).toEqual(plain)
    expect(captionsOf(apple, null)).toEqual(plain)
    expect(captionsOf({ ...apple, name: 'owl' }, 'brown').slice(-2)).toEqual(['brown owl', 'a 3d emoji of a brown owl'])
  })

  it.each([
    [[230, 30, 30], 'red'],
    [[100, 60, 30], 'brown'],
    [[255, 200, 60], 'yellow'],
    [[40, 160, 60], 'green'],
    [[40, 90, 220], 'blue'],
    [[20, 20, 25], 'black'],
  ] as const)('calls a picture drawn in %j %s', (colour, word) => {
    const half = [...new Array(10).fill(colour).flat(), ...new Array(30).fill(255)]
    expect(colourOf(Uint8Array.from(half))).toBe(word)
  })

  it('names no colour where none has the majority', () => {
    expect(colourOf(Uint8Array.of(230, 30, 30, 40, 160, 60, 40, 90, 220))).toBeNull()
  })
})

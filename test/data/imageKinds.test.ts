/** Every kind of picture file against Pillow (scripts/reference/images.py). */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { exifOrientation } from '../../lib/data/exifOrientation.ts'
import { decodeImage } from '../../lib/data/image.ts'
import { parseImageHeader, readImageHeader } from '../../lib/data/imageHeader.ts'
import { DataError } from '../../lib/util/errors.ts'
import { loadFixture } from '../support/fixtureCases.ts'
import { makeFolder } from '../support/pictures.ts'
import { uniform } from '../support/seededNumbers.ts'

interface Case {
  readonly name: string
  /** base64, as are pixels and alpha. */
  readonly file: string
  /** Width and height as stored, and when turned. */
  readonly stored: readonly [number, number]
  readonly size: readonly [number, number]
  readonly orientation: number
  readonly pixels: string
  readonly alpha?: string
}

const { cases } = loadFixture<{ readonly cases: readonly Case[] }>('images/pictures.json')
const bytesOf = (base64: string): Uint8Array => new Uint8Array(Buffer.from(base64, 'base64'))
const isAvif = ({ name }: Case): boolean => name.endsWith('.avif')

function worstDifference(a: Uint8Array, b: Uint8Array): number {
  expect(a).toHaveLength(b.length)
  return a.reduce((worst, x, i) => Math.max(worst, Math.abs(x - b[i]!)), 0)
}

let folder: string
beforeAll(async () => {
  folder = await makeFolder(Object.fromEntries(cases.map(({ name, file }) => [name, bytesOf(file)])))
})

describe('pictures as Pillow reads them', () => {
  it.each(cases)('$name is turned upright, in its header and its pixels', async (expected) => {
    const path = join(folder, expected.name)
    const [width, height] = expected.size
    const { orientation } = expected
    expect(await readImageHeader(path)).toMatchObject({ width, height, orientation, looksComplete: true })
    const image = await decodeImage(path)
    expect(image).toMatchObject({ width, height })
    expect(image).not.toHaveProperty('alpha')
    // AV1 is decoded to the same planes everywhere, but how they become RGB is left to the program.
    expect(worstDifference(image.pixels, bytesOf(expected.pixels))).toBeLessThanOrEqual(isAvif(expected) ? 2 : 0)
  })

  it.each(cases)('$name keeps its opacity when asked to', async (expected) => {
    const image = await decodeImage(join(folder, expected.name), { alpha: true })
    if (expected.alpha === undefined) return expect(image).not.toHaveProperty('alpha')
    expect(worstDifference(image.alpha!, bytesOf(expected.alpha))).toBe(0)
    const { pixels } = await decodeImage(join(folder, expected.name))
    expect(image.pixels).toEqual(pixels)
  })

  it.each(cases.filter(({ orientation }) => orientation !== 1))('$name is left as stored', async (expected) => {
    const path = join(folder, expected.name)
    const header = await readImageHeader(path, { ignoreExif: true })
    const image = await decodeImage(path, { ignoreExif: true })
    if (isAvif(expected)) {
      // Its turns are no EXIF, but part of the picture.
      expect(header).toEqual(await readImageHeader(path))
      expect(image).toEqual(await decodeImage(path))
      return
    }
    const [width, height] = expected.stored
    expect(header).toMatchObject({ width, height, orientation: 1 })
    expect(image).toMatchObject({ width, height })
    if (expected.orientation <= 4) expect(image.pixels).not.toEqual(bytesOf(expected.pixels))
  })
})

describe('EXIF data', () => {
  const block = (entries: readonly number[], count = 1): Buffer =>
    Buffer.from([0x49, 0x49, 42, 0, 8, 0, 0, 0, count, 0, ...entries, 0, 0, 0, 0])
  const entry = (value: number, type = 3, count = 1): number[] => [0x12, 1, type, 0, count, 0, 0, 0, value, 0, 0, 0]
  const other = [0x0f, 1, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0]

  it('give the orientation among other tags', () => {
    expect(exifOrientation(block([...other, ...entry(6)], 2))).toBe(6)
    expect(exifOrientation(Buffer.concat([Buffer.from('Exif\0\0'), block(entry(3))]))).toBe(3)
  })

  it.each([
    ['empty', Buffer.alloc(0)],
    ['of another kind', Buffer.from('http://ns.adobe.com/xap/1.0/')],
    ['without the tag', block(other)],
    ['with a value beyond 8', block(entry(9))],
    ['with the value 0', block(entry(0))],
    ['with text for a number', block(entry(6, 2))],
    ['with two values', block(entry(6, 3, 2))],
    ['cut short', block(entry(6)).subarray(0, 18)],
    ['whose directory is far away', Buffer.from([0x49, 0x49, 42, 0, 255, 255, 255, 255, 1, 0])],
    ['that promise more entries than they have', block(other, 0xffff)],
  ])('%s are passed over', (_, bytes) => {
    expect(exifOrientation(bytes)).toBe(1)
  })

  it('whose length reaches beyond the file are read as far as they go', async () => {
    const bytes = Buffer.from(cases.find(({ name }) => name === 'o6.webp')!.file, 'base64')
    bytes.writeUInt32LE(0x7fffffff, bytes.indexOf('EXIF') + 4)
    const path = join(folder, 'long.webp')
    await writeFile(path, bytes)
    expect(await readImageHeader(path)).toMatchObject({ orientation: 6 })
    await expect(decodeImage(path)).rejects.toBeInstanceOf(DataError)
  })
})

describe('damaged headers', () => {
  it.each(cases)('$name gives a size or a DataError, whatever byte is changed', async ({ file }) => {
    const whole = Buffer.from(file, 'base64')
    const random = uniform(whole.length)
    let refused = 0
    for (let i = 0; i < 60; i++) {
      const bytes = Buffer.from(whole.subarray(0, i % 3 === 0 ? Math.ceil(random() * whole.length) : whole.length))
      for (let k = 0; k <= i % 4; k++) bytes[Math.floor(random() * Math.min(bytes.length, 400))] = random() * 256
      const read = async (offset: number, length: number): Promise<Buffer> => bytes.subarray(offset, offset + length)
      try {
        const { header } = await parseImageHeader({ path: 'a', size: bytes.length, read }, {})
        expect(header.width * header.height).toBeLessThanOrEqual(2 ** 26)
        expect(header.width * header.height).toBeGreaterThanOrEqual(1)
      } catch (error) {
        expect(error).toBeInstanceOf(DataError)
        refused++
      }
    }
    expect(refused).toBeGreaterThan(0)
    expect(refused).toBeLessThan(60)
  })
})

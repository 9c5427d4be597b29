import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32, deflateSync } from 'node:zlib'
import sharp, { type Sharp } from 'sharp'
import { describe, expect, it } from 'vitest'
import { decodeImage } from '../../lib/data/image.ts'
import { readImageHeader, readImageSize } from '../../lib/data/imageHeader.ts'
import { DataError } from '../../lib/util/errors.ts'
import { encodePicture, makeFolder, noisePixels } from '../support/pictures.ts'

async function messageOf(run: Promise<unknown>): Promise<string> {
  const error = await run.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(DataError)
  return (error as DataError).message
}

describe('decodeImage and readImageHeader', () => {
  it.each(['png', 'webp', 'bmp'])('give the exact pixels and size of a %s', async (extension) => {
    const path = join(await makeFolder({ [`a.${extension}`]: [37, 21] }), `a.${extension}`)
    expect(await readImageHeader(path)).toEqual({
      format: extension,
      width: 37,
      height: 21,
      orientation: 1,
      looksComplete: true,
    })
    const image = await decodeImage(path)
    expect([image.width, image.height]).toEqual([37, 21])
    expect(image.pixels).toEqual(noisePixels(37, 21))
  })

  it.each(['jpg', 'jpeg', 'JPG'])('read a .%s', async (extension) => {
    const path = join(await makeFolder({ [`a.${extension}`]: [40, 24] }), `a.${extension}`)
    expect(await readImageHeader(path)).toMatchObject({ format: 'jpeg', width: 40, height: 24, looksComplete: true })
    expect((await decodeImage(path)).pixels).toHaveLength(40 * 24 * 3)
  })

  it('tell the format by content, not by name', async () => {
    const path = join(await makeFolder({ 'a.png': await encodePicture('.jpg', 16, 8) }), 'a.png')
    expect(await readImageSize(path)).toEqual({ width: 16, height: 8 })
    expect((await decodeImage(path)).width).toBe(16)
  })

  it('agree on lossy, alpha and progressive variants', async () => {
    const raw = { raw: { width: 33, height: 17, channels: 3 as const } }
    const source = (): Sharp => sharp(noisePixels(33, 17), raw)
    const folder = await makeFolder({
      'lossy.webp': await source().webp({ quality: 50 }).toBuffer(),
      'alpha.webp': await source().ensureAlpha(0.5).webp({ quality: 50 }).toBuffer(),
      'progressive.jpg': await source().jpeg({ progressive: true }).toBuffer(),
      'grey.png': await source().greyscale().png().toBuffer(),
      'palette.png': await source().png({ palette: true }).toBuffer(),
      'deep.png': await source().toColourspace('rgb16').png().toBuffer(),
    })
    for (const name of ['lossy.webp', 'alpha.webp', 'progressive.jpg', 'grey.png', 'palette.png', 'deep.png']) {
      const path = join(folder, name)
      expect(await readImageHeader(path), name).toMatchObject({ width: 33, height: 17, looksComplete: true })
      const { width, height, pixels } = await decodeImage(path)
      expect([width, height, pixels.length], name).toEqual([33, 17, 33 * 17 * 3])
    }
  })

  it('drop alpha and show the colour beneath', async () => {
    const rgba = Uint8Array.from([10, 20, 30, 0, 40, 50, 60, 128])
    const png = await sharp(rgba, { raw: { width: 2, height: 1, channels: 4 } })
      .png()
      .toBuffer()
    const path = join(await makeFolder({ 'a.png': png }), 'a.png')
    expect([...(await decodeImage(path)).pixels]).toEqual([10, 20, 30, 40, 50, 60])
  })

  it('ignore a colour profile', async () => {
    const source = sharp(noisePixels(32, 16), { raw: { width: 32, height: 16, channels: 3 } })
    const tagged = await source.withIccProfile('p3').png().toBuffer()
    const at = tagged.indexOf('iCCP') - 4
    expect(at).toBeGreaterThan(0)
    const untagged = Buffer.concat([tagged.subarray(0, at), tagged.subarray(at + 12 + tagged.readUInt32BE(at))])
    const folder = await makeFolder({ 'tagged.png': tagged, 'untagged.png': untagged })
    const stored = await decodeImage(join(folder, 'untagged.png'))
    expect(stored.pixels).not.toEqual(noisePixels(32, 16))
    expect(await decodeImage(join(folder, 'tagged.png'))).toEqual(stored)
  })

  it('read a BMP stored top to bottom', async () => {
    const bmp = await encodePicture('.bmp', 5, 3)
    bmp.writeInt32LE(-3, 22)
    const path = join(await makeFolder({ 'a.bmp': bmp }), 'a.bmp')
    expect(await readImageSize(path)).toEqual({ width: 5, height: 3 })
    const { pixels } = await decodeImage(path)
    expect(pixels.slice(0, 15)).toEqual(noisePixels(5, 3).slice(30, 45))
  })
})

describe('bad files', () => {
  it.each(['png', 'jpg', 'webp', 'bmp', 'avif'])('report a %s cut short', async (extension) => {
    const whole = await encodePicture(`.${extension}`, 64, 64)
    const path = join(await makeFolder({ [`a.${extension}`]: whole.subarray(0, whole.length * 0.6) }), `a.${extension}`)
    expect((await readImageHeader(path)).looksComplete).toBe(false)
    expect(await messageOf(decodeImage(path))).toMatch(
      /a\.\w+: the \w+ image is damaged or cut short \(.+\): replace or remove the file/,
    )
  })

  it('report a PNG cut within its header', async () => {
    const path = join(await makeFolder({ 'a.png': (await encodePicture('.png', 8, 8)).subarray(0, 20) }), 'a.png')
    expect(await messageOf(readImageHeader(path))).toContain('the image header is cut short (the file has 20 bytes)')
  })

  it('report a PNG with damaged data although its end looks right', async () => {
    const bytes = await encodePicture('.png', 64, 64)
    bytes.fill(0x55, 200, 2000)
    const path = join(await makeFolder({ 'a.png': bytes }), 'a.png')
    expect(await messageOf(decodeImage(path))).toContain('the PNG image is damaged')
  })

  it('report text named .png', async () => {
    const path = join(await makeFolder({ 'a.png': 'hello world, not a picture' }), 'a.png')
    const expected =
      'not a PNG, JPEG, WebP, BMP or AVIF image: it begins with the text "hello world,". Convert, replace or remove it'
    expect(await messageOf(readImageHeader(path))).toBe(`${path}: ${expected}`)
    expect(await messageOf(decodeImage(path))).toBe(`${path}: ${expected}`)
  })

  it('report another format by its first bytes', async () => {
    const path = join(await makeFolder({ 'a.png': Buffer.from('4949002a00000000', 'hex') }), 'a.png')
    expect(await messageOf(decodeImage(path))).toContain('it begins with the bytes 4949002a00000000')
  })

  it('report an empty file and a missing one', async () => {
    const folder = await makeFolder({ 'a.png': '' })
    for (const read of [readImageHeader, decodeImage]) {
      expect(await messageOf(read(join(folder, 'a.png')))).toContain('the file is empty (0 bytes)')
      expect(await messageOf(read(join(folder, 'b.png')))).toContain('cannot be read: ENOENT')
    }
  })

  it('do not touch the file', async () => {
    const folder = await makeFolder({ 'a.png': 'text' })
    await decodeImage(join(folder, 'a.png')).catch(() => undefined)
    expect(await readFile(join(folder, 'a.png'), 'utf8')).toBe('text')
  })
})

/** A PNG chunk with its checksum. */
function pngChunk(kind: string, data: Uint8Array): Buffer {
  const chunk = Buffer.alloc(12 + data.length)
  chunk.writeUInt32BE(data.length)
  chunk.write(kind, 4, 'latin1')
  chunk.set(data, 8)
  chunk.writeUInt32BE(crc32(chunk.subarray(4, 8 + data.length)), 8 + data.length)
  return chunk
}

describe('pictures that are too large', () => {
  /** A small file whose header tells of a huge picture. */
  const bombs: Readonly<Record<string, () => Promise<Buffer>>> = {
    png: async () => {
      const header = Buffer.from([0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60, 8, 2, 0, 0, 0])
      const chunks = [pngChunk('IHDR', header), pngChunk('IDAT', deflateSync(Buffer.alloc(1 << 20)))]
      return Buffer.concat([Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), ...chunks, pngChunk('IEND', Buffer.alloc(0))])
    },
    jpg: async () => {
      const bytes = await encodePicture('.jpg', 16, 16)
      bytes.writeUInt32BE(0xea60ea60, bytes.indexOf(Buffer.from([0xff, 0xc0])) + 5)
      return bytes
    },
    webp: async () => {
      const chunk = Buffer.alloc(30)
      chunk.write('RIFF')
      chunk.writeUInt32LE(22, 4)
      chunk.write('WEBPVP8X', 8)
      chunk.writeUInt32LE(10, 16)
      chunk.writeUIntLE(59_999, 24, 3)
      chunk.writeUIntLE(59_999, 27, 3)
      return chunk
    },
    avif: async () => {
      const bytes = await encodePicture('.avif', 16, 16)
      const at = bytes.indexOf('ispe')
      bytes.writeUInt32BE(60_000, at + 8)
      bytes.writeUInt32BE(60_000, at + 12)
      return bytes
    },
    bmp: async () => {
      const bytes = await encodePicture('.bmp', 4, 4)
      bytes.writeInt32LE(60_000, 18)
      bytes.writeInt32LE(-60_000, 22)
      return bytes
    },
  }

  it.each(Object.keys(bombs))('are refused by the header of a %s', async (extension) => {
    const path = join(await makeFolder({ [`a.${extension}`]: await bombs[extension]!() }), `a.${extension}`)
    for (const read of [readImageHeader, decodeImage])
      expect(await messageOf(read(path))).toMatch(
        /header gives the size 60000x60000, more than 67108864 pixels: shrink or remove the picture$/,
      )
  })

  it('are read up to the limit that was asked for', async () => {
    const path = join(await makeFolder({ 'a.png': [30, 20] }), 'a.png')
    expect(await decodeImage(path, { maxPixels: 600 })).toMatchObject({ width: 30 })
    expect(await messageOf(decodeImage(path, { maxPixels: 599 }))).toContain('more than 599 pixels')
    await expect(decodeImage(path, { maxPixels: 0 })).rejects.toThrow('maxPixels must be a whole number of at least 1')
  })

  it('are found out where the picture is larger than its header says', async () => {
    const small = await encodePicture('.webp', 16, 16)
    const vp8x = Buffer.concat([small.subarray(0, 12), Buffer.from('VP8X\x0a\0\0\0', 'latin1'), Buffer.alloc(10)])
    const bytes = Buffer.concat([vp8x, small.subarray(12)])
    bytes.writeUInt32LE(bytes.length - 8, 4)
    const path = join(await makeFolder({ 'a.webp': bytes }), 'a.webp')
    expect(await readImageSize(path)).toEqual({ width: 1, height: 1 })
    await expect(decodeImage(path)).rejects.toBeInstanceOf(DataError)
  })
})

describe('hostile headers', () => {
  it('of countless segments are refused', async () => {
    const segment = Buffer.from([0xff, 0xe5, 0, 2])
    const bytes = Buffer.concat([Buffer.from([0xff, 0xd8]), ...Array.from({ length: 30_000 }, () => segment)])
    const path = join(await makeFolder({ 'a.jpg': bytes }), 'a.jpg')
    expect(await messageOf(readImageHeader(path))).toContain(
      'the image header is damaged (it has more than 20000 parts)',
    )
  })

  it.each([
    ['a JPEG that is all padding', Buffer.alloc(100_000, 0xff), 'a.jpg'],
    ['an AVIF with an empty box', Buffer.from('\0\0\0\x10ftypavif\0\0\0\0\0\0\0\x04meta', 'latin1'), 'a.avif'],
    [
      'an AVIF whose boxes end early',
      Buffer.from('\0\0\0\x10ftypavif\0\0\0\0\0\0\0\x18meta\0\0\0\0\0\0\x03\xe8pitm\0\0\0\0', 'latin1'),
      'a.avif',
    ],
    ['an AVIF without a meta box', Buffer.from('\0\0\0\x10ftypavif\0\0\0\0', 'latin1'), 'a.avif'],
  ])('%s is refused', async (_, bytes, name) => {
    if (name === 'a.jpg') bytes[1] = 0xd8
    const path = join(await makeFolder({ [name]: bytes }), name)
    expect(await messageOf(readImageHeader(path))).toContain('the image header is damaged')
  })
})
